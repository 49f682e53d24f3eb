package nat

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/record"
	"weft/test/e2e/netlab"
)

// lab is a node whose backends say who they are.
type lab struct{ *netlab.Node }

const (
	service4 = netlab.ServiceIP
	service6 = netlab.ServiceIP6
)

func newLab(t *testing.T) lab {
	t.Helper()
	return lab{netlab.NewNode(t)}
}

// serve answers every connection and datagram at the address with the address.
func (l lab) serve(t *testing.T, n *netlab.Namespace, addr string) {
	t.Helper()
	tcp := n.Listen(t, "tcp", addr)
	var udp net.PacketConn
	var err error
	n.Do(func() { udp, err = net.ListenPacket("udp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, addr)
			c.Close()
		}
	}()
	go func() {
		for buf := make([]byte, 64); ; {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(addr), from)
		}
	}()
}

func (l lab) serveBackends(t *testing.T) {
	t.Helper()
	for i := range 3 {
		l.serve(t, l.Backends, net.JoinHostPort(netlab.Backend(i), "8080"))
		l.serve(t, l.Backends, net.JoinHostPort(netlab.Backend6(i), "8080"))
	}
}

// call is a connection that was made, and who answered it.
type call struct {
	flow   record.FlowKey
	when   int64
	answer netip.AddrPort
}

// ask connects from within the namespace; a local port of 0 is any.
func (l lab) ask(t *testing.T, n *netlab.Namespace, pid uint32, network, addr string, port int) call {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, Control: reuseAddr}
	to := netip.MustParseAddrPort(addr)
	if port != 0 {
		d.LocalAddr = &net.TCPAddr{Port: port}
	}
	var c net.Conn
	var err error
	n.Do(func() { c, err = d.Dial(network, addr) })
	if err != nil {
		t.Fatalf("connect to %s: %v", addr, err)
	}
	defer c.Close()
	when := probe.Monotonic()
	answer := make([]byte, 64)
	if network == "udp" {
		fmt.Fprint(c, "who")
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	size, err := c.Read(answer)
	if err != nil {
		t.Fatalf("ask %s: %v", addr, err)
	}
	if tcp, ok := c.(*net.TCPConn); ok && port != 0 {
		_ = tcp.SetLinger(0) // the port is free again at once
	}
	local := netip.MustParseAddrPort(c.LocalAddr().String())
	k := call{when: when, answer: netip.MustParseAddrPort(string(answer[:size]))}
	k.flow = record.FlowKey{
		Src: local.Addr(), SrcPort: record.Port(local.Port()), Dst: to.Addr(), DstPort: record.Port(to.Port()),
		Transport: record.TCP, PID: pid, NetNS: netnsOf(t, pid),
	}
	if network == "udp" {
		k.flow.Transport, k.when = record.UDP, 0
	}
	return k
}

func netnsOf(t *testing.T, pid uint32) uint32 {
	t.Helper()
	n, err := inode(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// begin starts a source for which the lab's node is the machine.
func (l lab) begin(t *testing.T, d []door, maxEntries int) *Source {
	t.Helper()
	cfg := &config.Config{HostProc: "/proc", Interval: 10 * time.Second, Netflow: config.Netflow{MaxNAT: maxEntries}}
	s, err := newSource(cfg, l.MachinePID, ledger.New(), slog.New(slog.NewTextHandler(io.Discard, nil)), d)
	if err != nil {
		t.Skipf("this kernel does not open it: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}
