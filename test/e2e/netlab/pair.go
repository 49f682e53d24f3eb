package netlab

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// The addresses of every pair. Pairs do not see each other, so all have the
// same ones; rows are told apart by their tag netns.
const (
	ClientIP  = "198.18.0.1"
	ServerIP  = "198.18.0.2"
	ClientIP6 = "fd00:5765:6674::1"
	ServerIP6 = "fd00:5765:6674::2"
)

// Pair is two namespaces joined by a veth pair: two hosts on one cable.
type Pair struct{ Client, Server *Namespace }

// NewPair makes a pair that lasts until the test ends.
func NewPair(t testing.TB) Pair {
	t.Helper()
	p := Pair{New(t), New(t)}
	link := exec.Command("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", "/proc/self/fd/3")
	link.ExtraFiles = []*os.File{p.Server.file}
	var out []byte
	var err error
	p.Client.Do(func() { out, err = link.CombinedOutput() })
	if err != nil {
		t.Fatalf("make a veth pair: %v\n%s", err, out)
	}
	p.Client.address(t, ClientIP, ClientIP6)
	p.Server.address(t, ServerIP, ServerIP6)
	return p
}

// address gives veth0 its addresses; nodad makes the IPv6 one usable at once.
func (n *Namespace) address(t testing.TB, ip4, ip6 string) {
	t.Helper()
	n.IP(t, "addr", "add", ip4+"/24", "dev", "veth0")
	n.IP(t, "addr", "add", ip6+"/64", "dev", "veth0", "nodad")
	n.IP(t, "link", "set", "veth0", "up")
}

// Listen listens in the namespace until the test ends.
func (n *Namespace) Listen(t testing.TB, network, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen(network, addr) })
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Dial connects from within the namespace, until the test ends.
func (n *Namespace) Dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := n.TryDial(network, addr)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TryDial connects from within the namespace.
func (n *Namespace) TryDial(network, addr string) (c net.Conn, err error) {
	n.Do(func() { c, err = net.DialTimeout(network, addr, 5*time.Second) })
	return c, err
}

// AwaitListener waits until something listens on the TCP address, by
// connecting to it.
func (n *Namespace) AwaitListener(t testing.TB, addr string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		c, err := n.TryDial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
