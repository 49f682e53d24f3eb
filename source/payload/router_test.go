package payload

import (
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of a client's namespace, where the server seems to be
// 10.77.1.1:8080, and of a server's, where the client seems to be 10.77.2.1.
const (
	clientAt, serverSeenAt = "10.77.1.2", "10.77.1.1"
	serverAt, clientSeenAt = "10.77.2.2", "10.77.2.1"
	dialled, served        = 8080, 8081
	portShift              = 7 // of the client's port
)

// fate is what becomes of a packet on its way.
type fate int

const (
	forward fate = iota
	drop
	twice
	hold // until two others of its direction have passed
)

// router is two network namespaces and a router with NAT between them, which
// treats each packet with payload as it is told.
type router struct {
	client, server *namespace
	mu             sync.Mutex
	// fate decides by direction and number of the packet with payload; nil: forward.
	fate func(fromClient bool, n int) fate
}

// namespace is a network namespace with a TUN device. do runs there.
type namespace struct {
	calls chan func()
	tun   *os.File
}

func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.calls <- func() { defer close(done); f() }
	<-done
}

func newNamespace(t *testing.T, addr string) *namespace {
	t.Helper()
	n := &namespace{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.tun, err = openTUN(addr)
		}
		ready <- err
		for f := range n.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(n.calls)
		t.Skipf("no namespace with a TUN device: %v", err)
	}
	t.Cleanup(func() {
		n.tun.Close()
		close(n.calls)
	})
	return n
}

// openTUN makes a device with an address in a /24 network, and lo.
func openTUN(addr string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq("tun0")
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "tun") // it can be polled from here on
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	for _, set := range []struct {
		cmd  uint
		addr string
	}{{unix.SIOCSIFADDR, addr}, {unix.SIOCSIFNETMASK, "255.255.255.0"}} {
		if err := req.SetInet4Addr(net.ParseIP(set.addr).To4()); err != nil {
			return nil, err
		}
		if err := unix.IoctlIfreq(s, set.cmd, req); err != nil {
			return nil, err
		}
	}
	for _, dev := range []string{"tun0", "lo"} {
		if req, err = unix.NewIfreq(dev); err != nil {
			return nil, err
		}
		req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func newRouter(t *testing.T) *router {
	t.Helper()
	needRoot(t)
	r := &router{client: newNamespace(t, clientAt), server: newNamespace(t, serverAt)}
	go r.route(r.client.tun, r.server.tun, true)
	go r.route(r.server.tun, r.client.tun, false)
	return r
}

func (r *router) setFate(f func(fromClient bool, n int) fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fate = f
}

func (r *router) route(from, to *os.File, fromClient bool) {
	buf := make([]byte, 65536)
	var held [][]byte
	since, payloads := 0, 0
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p := buf[:n]
		if n < 40 || p[0] != 0x45 || p[9] != unix.IPPROTO_TCP {
			continue
		}
		f := forward
		if n > 20+int(p[32]>>4)*4 {
			r.mu.Lock()
			if r.fate != nil {
				f = r.fate(fromClient, payloads)
			}
			r.mu.Unlock()
			payloads++
		}
		translate(p, fromClient)
		switch f {
		case drop:
			continue
		case hold:
			held, since = append(held, append([]byte(nil), p...)), 0
			continue
		case twice:
			to.Write(p)
		}
		to.Write(p)
		if since++; since >= 2 {
			for _, h := range held {
				to.Write(h)
			}
			held = nil
		}
	}
}

// translate changes both addresses and both ports.
func translate(p []byte, fromClient bool) {
	src, dst := p[20:22], p[22:24]
	shift := func(b []byte, by int) { binary.BigEndian.PutUint16(b, uint16(int(binary.BigEndian.Uint16(b))+by)) }
	if fromClient {
		copy(p[12:], net.ParseIP(clientSeenAt).To4())
		copy(p[16:], net.ParseIP(serverAt).To4())
		shift(src, portShift)
		shift(dst, served-dialled)
	} else {
		copy(p[12:], net.ParseIP(serverSeenAt).To4())
		copy(p[16:], net.ParseIP(clientAt).To4())
		shift(src, dialled-served)
		shift(dst, -portShift)
	}
	p[10], p[11], p[36], p[37] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(0, p[:20]))
	pseudo := uint32(unix.IPPROTO_TCP) + uint32(len(p)-20)
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	binary.BigEndian.PutUint16(p[36:], checksum(pseudo, p[20:]))
}

// checksum is that of RFC 1071.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (r *router) listen(t *testing.T, lc *net.ListenConfig) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	r.server.do(func() { l, err = lc.Listen(t.Context(), "tcp4", "0.0.0.0:8081") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (r *router) dial(t *testing.T, d *net.Dialer) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	own := *d
	own.Timeout = 5 * time.Second
	r.client.do(func() { c, err = own.Dial("tcp4", serverSeenAt+":8080") })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is a connection through the router.
func (r *router) pair(t *testing.T, l net.Listener, d *net.Dialer) (client, server net.Conn) {
	t.Helper()
	client = r.dial(t, d)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}
