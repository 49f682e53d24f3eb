package nat

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/record"
	"weft/test/e2e/netlab"
)

// lab is a node in small: a machine's namespace that forwards, a pod's, and one
// with three backends of a service whose address only the NAT rules know.
//
//	pod 198.18.1.2 ── 198.18.1.1 node 198.18.2.1 ── 198.18.2.11, .12, .13 backends
type lab struct {
	node, pod, backends *netlab.Namespace
	nodePID, podPID     uint32
}

const (
	service4 = "198.18.100.1"
	service6 = "fd00:5765:100::1"
)

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{node: netlab.New(t), pod: netlab.New(t), backends: netlab.New(t)}
	l.nodePID, l.podPID = l.sleep(t, l.node), l.sleep(t, l.pod)
	l.node.Sysctl(t, "ipv4/ip_forward", "1")
	l.node.Sysctl(t, "ipv6/conf/all/forwarding", "1")
	l.cable(t, l.pod, "pod", 1, 2)
	l.cable(t, l.backends, "be", 2, 11, 12, 13)
	// The route of the service's address is of no matter, but there must be one.
	l.node.IP(t, "route", "add", "default", "via", "198.18.2.11")
	l.node.IP(t, "-6", "route", "add", "default", "via", "fd00:5765:2::b")
	l.nft(t, l.node, service("ip", service4, "198.18.2.%d:8080")+service("ip6", service6, "[fd00:5765:2::%x]:8080"))
	return l
}

// service is what kube-proxy's nft mode makes of a service with three backends.
func service(family, addr, backend string) string {
	var balance, chains string
	for _, proto := range []string{"tcp", "udp"} {
		balance += fmt.Sprintf("%s dport 80 numgen random mod 3 vmap { 0: goto %[1]s0, 1: goto %[1]s1, 2: goto %[1]s2 }\n", proto)
		for i := range 3 {
			chains += fmt.Sprintf("chain %s%d {\n meta l4proto %s dnat to %s\n}\n", proto, i, proto, fmt.Sprintf(backend, 11+i))
		}
	}
	return fmt.Sprintf(`table %[1]s service {
		%[4]s
		chain balance { %[3]s }
		chain out { type nat hook output priority -100; %[1]s daddr %[2]s jump balance; }
		chain pre { type nat hook prerouting priority -100; %[1]s daddr %[2]s jump balance; }
	}
	`, family, addr, balance, chains)
}

// sleep keeps a process in the namespace, by which it is found.
func (l *lab) sleep(t *testing.T, n *netlab.Namespace) uint32 {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	n.Start(t, cmd)
	return uint32(cmd.Process.Pid)
}

// cable joins a namespace with the node; addresses end in the hosts.
func (l *lab) cable(t *testing.T, n *netlab.Namespace, name string, network int, hosts ...int) {
	t.Helper()
	l.node.IP(t, "link", "add", name, "type", "veth", "peer", "name", name+"0")
	l.node.IP(t, "link", "set", name+"0", "netns", fmt.Sprint(l.sleep(t, n)), "name", "eth0")
	l.node.IP(t, "addr", "add", fmt.Sprintf("198.18.%d.1/24", network), "dev", name)
	l.node.IP(t, "addr", "add", fmt.Sprintf("fd00:5765:%d::1/64", network), "dev", name, "nodad")
	l.node.IP(t, "link", "set", name, "up")
	for _, h := range hosts {
		n.IP(t, "addr", "add", fmt.Sprintf("198.18.%d.%d/24", network, h), "dev", "eth0")
		n.IP(t, "addr", "add", fmt.Sprintf("fd00:5765:%d::%x/64", network, h), "dev", "eth0", "nodad")
	}
	n.IP(t, "link", "set", "eth0", "up")
	n.IP(t, "route", "add", "default", "via", fmt.Sprintf("198.18.%d.1", network))
	n.IP(t, "-6", "route", "add", "default", "via", fmt.Sprintf("fd00:5765:%d::1", network))
}

func (l *lab) nft(t *testing.T, n *netlab.Namespace, rules string) {
	t.Helper()
	n.Output(t, "nft", rules)
}

// serve answers every connection and datagram at the address with the address.
func (l *lab) serve(t *testing.T, n *netlab.Namespace, addr string) {
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

func (l *lab) serveBackends(t *testing.T) {
	t.Helper()
	for h := 11; h <= 13; h++ {
		l.serve(t, l.backends, fmt.Sprintf("198.18.2.%d:8080", h))
		l.serve(t, l.backends, fmt.Sprintf("[fd00:5765:2::%x]:8080", h))
	}
}

// call is a connection that was made, and who answered it.
type call struct {
	flow   record.FlowKey
	when   int64
	answer netip.AddrPort
}

// ask connects from within the namespace; a local port of 0 is any.
func (l *lab) ask(t *testing.T, n *netlab.Namespace, pid uint32, network, addr string, port int) call {
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
func (l *lab) begin(t *testing.T, d []door, maxEntries int) *Source {
	t.Helper()
	cfg := &config.Config{HostProc: "/proc", Interval: 10 * time.Second, Netflow: config.Netflow{MaxNAT: maxEntries}}
	s, err := newSource(cfg, l.nodePID, ledger.New(), slog.New(slog.NewTextHandler(io.Discard, nil)), d)
	if err != nil {
		t.Skipf("this kernel does not open it: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}
