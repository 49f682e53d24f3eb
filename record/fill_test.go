package record

import (
	"net/netip"
	"testing"
)

func TestIPType(t *testing.T) {
	for ip, want := range map[string]string{
		"172.16.0.1": "private", "172.31.255.255": "private", "10.1.2.3": "private", "192.168.0.1": "private",
		"172.32.0.1": "other", "11.0.0.1": "other", "101.2.3.4": "other", "169.254.1.1": "other",
		"224.0.0.1": "multicast", "239.1.1.1": "multicast", "240.0.0.1": "other", "127.0.1.1": "loopback",
		"fc01::1": "private", "fd00::1": "private", "ff01::1": "multicast", "::1": "loopback",
		"2004:400::1": "other", "fe80::1": "other",
	} {
		if got := ipType(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}

func TestFillIncoming(t *testing.T) {
	n := row()
	n.Direction, n.SrcPort, n.DstPort = Incoming, 8080, 0
	n.Fill(4)
	for _, c := range [][3]string{
		{"conn_side", n.ConnSide, "server"}, {"direction", n.DirectionTag, "incoming"},
		{"client_ip", n.ClientIP, "93.184.216.34"}, {"client_port", n.ClientPort, "*"},
		{"client_ip_type", n.ClientIPType, "other"},
		{"server_ip", n.ServerIP, "10.0.0.2"}, {"server_port", n.ServerPort, "8080"},
		{"server_ip_type", n.ServerIPType, "private"},
		{"server_domain", n.ServerDomain, ""}, {"dst_domain", n.DstDomain, "example.com"},
	} {
		if c[1] != c[2] {
			t.Errorf("%s: got %q, want %q", c[0], c[1], c[2])
		}
	}
	if n.ClientSent != n.BytesRead || n.ServerSent != n.BytesWritten {
		t.Errorf("client_sent %d, server_sent %d", n.ClientSent, n.ServerSent)
	}
}

func TestFillKeepsEnriched(t *testing.T) {
	n := &Netflow{
		FlowKey:  FlowKey{Comm: "java", Transport: UDP, ConnectErrno: 111},
		Identity: Identity{ProcessName: "java-long-name"},
		TCPStats: &TCPStats{RTT: 5},
	}
	n.Src = netip.MustParseAddr("::ffff:10.0.0.1")
	n.Dst = netip.MustParseAddr("2001:db8::1")
	n.NAT = netip.MustParseAddrPort("[::ffff:10.9.8.7]:53")
	n.Fill(3)
	n.Fill(3)
	for _, c := range [][3]string{
		{"process_name", n.ProcessName, "java-long-name"}, {"dst_nat_ip", n.DstNATIP, "10.9.8.7"},
		{"dst_nat_port", n.DstNATPort, "53"}, {"src_ip", n.SrcIP, "10.0.0.1"}, {"family", n.Family, "IPv4"},
		{"dst_ip", n.DstIP, "2001:db8::1"}, {"transport", n.TransportTag, "udp"},
		{"connect_error", n.ConnectErrTag, "ECONNREFUSED"},
	} {
		if c[1] != c[2] {
			t.Errorf("%s: got %q, want %q", c[0], c[1], c[2])
		}
	}
	if n.RTT != 5 {
		t.Errorf("a mean without samples became %d", n.RTT)
	}
}

func TestErrnoName(t *testing.T) {
	for e, want := range map[uint16]string{
		0: "", 1: "EPERM", 13: "EACCES", 99: "EADDRNOTAVAIL", 101: "ENETUNREACH", 104: "ECONNRESET",
		110: "ETIMEDOUT", 111: "ECONNREFUSED", 113: "EHOSTUNREACH", 133: "errno_133",
	} {
		if got := errnoName(e); got != want {
			t.Errorf("%d: got %q, want %q", e, got, want)
		}
	}
}
