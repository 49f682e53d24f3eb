package payload

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/config"
	"weft/protocol"
)

// noise is data that repeats nowhere.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// way sends all of data on a connected socket.
type way struct {
	name string
	send func(fd int, data []byte) error
}

func ways() []way {
	return []way{
		{"write", func(fd int, data []byte) error {
			return each(data, 30000, func(b []byte) (int, error) { return unix.Write(fd, b) })
		}},
		{"send", func(fd int, data []byte) error {
			return each(data, 1000, func(b []byte) (int, error) { return len(b), unix.Sendto(fd, b, 0, nil) })
		}},
		{"writev", func(fd int, data []byte) error {
			return each(data, 9000, func(b []byte) (int, error) { return unix.Writev(fd, [][]byte{b[:1], b[1:5], b[5:]}) })
		}},
		{"sendmsg", func(fd int, data []byte) error {
			return each(data, 9000, func(b []byte) (int, error) {
				return unix.SendmsgBuffers(fd, [][]byte{b[:3], b[3:3], b[3:4000], b[4000:]}, nil, nil, 0)
			})
		}},
		{"sendmmsg", sendmmsg},
		{"sendfile", sendfile},
		{"splice", splice},
		{"large", func(fd int, data []byte) error {
			return each(data, len(data), func(b []byte) (int, error) { return unix.Write(fd, b) })
		}},
		{"zerocopy", zerocopy},
		{"io_uring", ringSend},
	}
}

// each sends data in pieces, the last of which may be longer.
func each(data []byte, size int, send func([]byte) (int, error)) error {
	for len(data) > 0 {
		n := size
		if len(data) < 2*size {
			n = len(data)
		}
		sent, err := send(data[:n])
		if err != nil {
			return err
		}
		data = data[sent:]
	}
	return nil
}

func sendmmsg(fd int, data []byte) error {
	type mmsghdr struct {
		hdr unix.Msghdr
		n   uint32
		_   [4]byte
	}
	for part := range slices.Chunk(data, 20000) {
		msgs, vecs := make([]mmsghdr, 4), make([]unix.Iovec, 4)
		for i := range msgs {
			b := part[len(part)*i/4 : len(part)*(i+1)/4]
			vecs[i].Base = &b[0]
			vecs[i].SetLen(len(b))
			msgs[i].hdr.Iov, msgs[i].hdr.Iovlen = &vecs[i], 1
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), 4, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		for i := range msgs {
			if n != 4 || uint64(msgs[i].n) != vecs[i].Len {
				return errors.New("sendmmsg sent a part")
			}
		}
	}
	return nil
}

func sendfile(fd int, data []byte) error {
	f, err := unix.MemfdCreate("data", 0)
	if err != nil {
		return err
	}
	defer unix.Close(f)
	if _, err := unix.Write(f, data); err != nil {
		return err
	}
	at := int64(0)
	for at < int64(len(data)) {
		if _, err := unix.Sendfile(fd, f, &at, len(data)); err != nil {
			return err
		}
	}
	return nil
}

func splice(fd int, data []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	go func() {
		w.Write(data)
		w.Close()
	}()
	for {
		n, err := unix.Splice(int(r.Fd()), nil, fd, nil, 1<<20, unix.SPLICE_F_MORE)
		if n == 0 || err != nil {
			return err
		}
	}
}

func zerocopy(fd int, data []byte) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1); err != nil {
		return err
	}
	return each(data, 50000, func(b []byte) (int, error) { return unix.SendmsgN(fd, b, nil, nil, unix.MSG_ZEROCOPY) })
}

// rawClient connects a blocking socket, so that system calls are as written.
func rawClient(t *testing.T, l net.Listener) (fd int, server net.Conn) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: portOf(l.Addr()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return fd, server
}

// rawConfig has all bytes of the ports handed to user space, and nothing else.
func rawConfig(ports ...int) *config.Config {
	cfg := testConfig()
	cfg.L7.Enabled = nil
	cfg.L7.DNSPorts = ports
	return cfg
}

// stream joins the chunks of one side, at most one connection's; gaps are shown
// by the error.
func (b *bench) stream(port int, server bool, side protocol.Side) (data []byte, lost uint64) {
	for _, c := range b.conns {
		if server && int(c.Flow.SrcPort) != port || !server && int(c.Flow.DstPort) != port {
			continue
		}
		slices.SortFunc(c.chunks, func(x, y chunk) int { return int(int64(x.offset) - int64(y.offset)) })
		next := uint64(0)
		for _, k := range c.chunks {
			if k.side != side {
				continue
			}
			if k.offset > next {
				lost += k.offset - next
			}
			if k.offset+uint64(len(k.data)) <= next {
				continue
			}
			data = append(data, k.data[max(next, k.offset)-k.offset:]...)
			next = k.offset + k.size
		}
	}
	return data, lost
}

// TestWays: however bytes are sent, they are seen once, at both ends.
func TestWays(t *testing.T) {
	needRoot(t)
	data := noise(300_000)
	var ports []int
	var listeners []net.Listener
	for range ways() {
		l := listen(t, "tcp4", "127.0.0.1:0")
		listeners, ports = append(listeners, l), append(ports, portOf(l.Addr()))
	}
	b := start(t, rawConfig(ports...))
	b.deaf = true
	refused := map[string]error{}
	for i, w := range ways() {
		fd, server := rawClient(t, listeners[i])
		received := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(server)
			received <- all
		}()
		if err := w.send(fd, data); err != nil {
			refused[w.name] = err
		}
		unix.Close(fd)
		if got := <-received; refused[w.name] == nil && !bytes.Equal(got, data) {
			t.Errorf("%s: the server got %d bytes, and not those", w.name, len(got))
		}
		server.Close()
	}
	b.finish()
	for i, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			if err := refused[w.name]; err != nil {
				t.Skipf("this kernel refuses it: %v", err)
			}
			for _, server := range []bool{false, true} {
				got, lost := b.stream(ports[i], server, protocol.Client)
				if lost != 0 || !bytes.Equal(got, data) {
					t.Errorf("server %v: %d bytes, %d lost, want %d", server, len(got), lost, len(data))
				}
			}
		})
	}
	if n := b.stat(bpfPayloadStatSTAT_RING_FULL_BYTES); n != 0 {
		t.Errorf("%d bytes did not fit into the ring", n)
	}
}
