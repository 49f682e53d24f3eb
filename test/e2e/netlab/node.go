package netlab

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
)

// Node is a cluster's node in small: a machine's namespace that forwards, a
// pod's, and one with three backends of services whose address only the NAT
// rules know.
//
//	pod 198.18.1.2 ── 198.18.1.1 node 198.18.2.1 ── 198.18.2.11, .12, .13 backends
type Node struct {
	Machine, Pod, Backends *Namespace
	// MachinePID and PodPID are of processes there that sleep.
	MachinePID, PodPID uint32
}

// The services' addresses.
const (
	ServiceIP  = "198.18.100.1"
	ServiceIP6 = "fd00:5765:100::1"
)

// Backend is the address of a backend of 0 to 2.
func Backend(i int) string { return fmt.Sprintf("198.18.2.%d", 11+i) }

// Backend6 is its IPv6 address.
func Backend6(i int) string { return fmt.Sprintf("fd00:5765:2::%x", 11+i) }

// NewNode makes a node that lasts until the test ends, with two services: port
// 80, of which the backends' port is 8080, and 53. It needs nft and sleep.
func NewNode(t testing.TB) *Node {
	t.Helper()
	n := &Node{Machine: New(t), Pod: New(t), Backends: New(t)}
	n.MachinePID, n.PodPID = sleep(t, n.Machine), sleep(t, n.Pod)
	n.Machine.Sysctl(t, "ipv4/ip_forward", "1")
	n.Machine.Sysctl(t, "ipv6/conf/all/forwarding", "1")
	n.cable(t, n.Pod, "pod", 1, 2)
	n.cable(t, n.Backends, "be", 2, 11, 12, 13)
	// The route of the service's address is of no matter, but there must be one.
	n.Machine.IP(t, "route", "add", "default", "via", "198.18.2.11")
	n.Machine.IP(t, "-6", "route", "add", "default", "via", "fd00:5765:2::b")
	for _, port := range [][2]int{{80, 8080}, {53, 53}} {
		n.Machine.Output(t, "nft", service("ip", ServiceIP, port, Backend)+service("ip6", ServiceIP6, port, Backend6))
	}
	return n
}

// service is what kube-proxy's nft mode makes of a service with three backends.
func service(family, addr string, port [2]int, backend func(int) string) string {
	var balance, chains string
	for _, proto := range []string{"tcp", "udp"} {
		balance += fmt.Sprintf("%s dport %d numgen random mod 3 ", proto, port[0]) +
			fmt.Sprintf("vmap { 0: goto %[1]s0, 1: goto %[1]s1, 2: goto %[1]s2 }\n", proto)
		for i := range 3 {
			to := net.JoinHostPort(backend(i), strconv.Itoa(port[1]))
			chains += fmt.Sprintf("chain %s%d {\n meta l4proto %[1]s dnat to %[3]s\n}\n", proto, i, to)
		}
	}
	return fmt.Sprintf(`table %[1]s service%[5]d {
		%[4]s
		chain balance { %[3]s }
		chain out { type nat hook output priority -100; %[1]s daddr %[2]s jump balance; }
		chain pre { type nat hook prerouting priority -100; %[1]s daddr %[2]s jump balance; }
	}
	`, family, addr, balance, chains, port[0])
}

// sleep keeps a process in the namespace, by which it is found.
func sleep(t testing.TB, n *Namespace) uint32 {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	n.Start(t, cmd)
	return uint32(cmd.Process.Pid)
}

// cable joins a namespace with the node; addresses end in the hosts.
func (n *Node) cable(t testing.TB, host *Namespace, name string, network int, hosts ...int) {
	t.Helper()
	n.Machine.IP(t, "link", "add", name, "type", "veth", "peer", "name", name+"0")
	n.Machine.IP(t, "link", "set", name+"0", "netns", fmt.Sprint(sleep(t, host)), "name", "eth0")
	n.Machine.IP(t, "addr", "add", fmt.Sprintf("198.18.%d.1/24", network), "dev", name)
	n.Machine.IP(t, "addr", "add", fmt.Sprintf("fd00:5765:%d::1/64", network), "dev", name, "nodad")
	n.Machine.IP(t, "link", "set", name, "up")
	for _, h := range hosts {
		host.IP(t, "addr", "add", fmt.Sprintf("198.18.%d.%d/24", network, h), "dev", "eth0")
		host.IP(t, "addr", "add", fmt.Sprintf("fd00:5765:%d::%x/64", network, h), "dev", "eth0", "nodad")
	}
	host.IP(t, "link", "set", "eth0", "up")
	host.IP(t, "route", "add", "default", "via", fmt.Sprintf("198.18.%d.1", network))
	host.IP(t, "-6", "route", "add", "default", "via", fmt.Sprintf("fd00:5765:%d::1", network))
}
