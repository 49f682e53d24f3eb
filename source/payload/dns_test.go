package payload

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"weft/l7/dnsflow"
	"weft/record"
)

// query and reply are a question for A of "x." and its answer (RFC 1035 section 4.1).
const (
	query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01"
	reply = "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01" +
		"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04"
)

// resolver answers on a UDP socket.
func resolver(t *testing.T, network, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 8192)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo([]byte(reply+strings.Repeat("\x00", n-len(query))), from)
		}
	}()
	return c.(*net.UDPConn)
}

// TestDatagrams: a query and its answer are four datagrams on a machine that is
// both ends, each as its socket sees it.
func TestDatagrams(t *testing.T) {
	needRoot(t)
	s4, s6 := resolver(t, "udp4", "127.0.0.1:0"), resolver(t, "udp6", "[::1]:0")
	ports := func(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }
	cfg := rawConfig(ports(s4), ports(s6))
	b := start(t, cfg)
	type sent struct {
		local, remote netip.AddrPort
		size          int
	}
	var all []sent
	for _, s := range []*net.UDPConn{s4, s6} {
		remote := s.LocalAddr().(*net.UDPAddr)
		for _, connected := range []bool{true, false} {
			for _, more := range []int{0, 100, 400, 3000, 6000} {
				data := []byte(query + strings.Repeat("\x00", more))
				var c *net.UDPConn
				var err error
				if connected {
					if c, err = net.DialUDP("udp", nil, remote); err == nil {
						_, err = c.Write(data)
					}
				} else if c, err = net.ListenUDP("udp", &net.UDPAddr{IP: remote.IP}); err == nil {
					_, err = c.WriteTo(data, remote)
				}
				if err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 8192)
				if n, err := c.Read(buf); err != nil || n != len(reply)+more {
					t.Fatal(n, err)
				}
				local := c.LocalAddr().(*net.UDPAddr).AddrPort()
				all = append(all, sent{
					netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
					netip.AddrPortFrom(remote.AddrPort().Addr().Unmap(), remote.AddrPort().Port()), more,
				})
				c.Close()
			}
		}
	}
	b.until(func() bool { return len(b.dns) >= 4*len(all) })
	b.finish()
	if len(b.dns) != 4*len(all) {
		t.Errorf("%d datagrams, want %d", len(b.dns), 4*len(all))
	}
	for _, s := range all {
		b.checkDatagram(s.local, s.remote, true, query, s.size)
		b.checkDatagram(s.remote, s.local, false, query, s.size)
		b.checkDatagram(s.remote, s.local, true, reply, s.size)
		b.checkDatagram(s.local, s.remote, false, reply, s.size)
	}
}

// checkDatagram wants one datagram that this end has sent or received.
func (b *bench) checkDatagram(local, remote netip.AddrPort, egress bool, message string, more int) {
	b.t.Helper()
	var found []dnsflow.Datagram
	for _, d := range b.dns {
		at := netip.AddrPortFrom(d.Flow.Src, uint16(d.Flow.SrcPort))
		to := netip.AddrPortFrom(d.Flow.Dst, uint16(d.Flow.DstPort))
		// A port may have come twice; each datagram on it had another size.
		if at == local && to == remote && d.Egress == egress && d.Len == len(message)+more {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		b.t.Errorf("%s, %s, egress %v: %d datagrams", local, remote, egress, len(found))
		return
	}
	d := found[0]
	pid := 0
	if egress {
		pid = os.Getpid()
	}
	want := (message + strings.Repeat("\x00", more))[:min(len(message)+more, 4096)]
	if int(d.Flow.PID) != pid || d.Flow.Transport != record.UDP || d.Flow.NetNS == 0 || d.Sock == 0 || d.Time <= 0 {
		b.t.Errorf("%+v", d.Flow)
	}
	if string(d.Data) != want || d.Len != len(message)+more {
		b.t.Errorf("%d bytes of %d, want %d of %d", len(d.Data), d.Len, len(want), len(message)+more)
	}
}

// TestDNSOverTCP: both ends see both queries, one of them in two packets, and
// the answers (RFC 1035 section 4.2.2).
func TestDNSOverTCP(t *testing.T) {
	needRoot(t)
	l := listen(t, "tcp4", "127.0.0.1:0")
	b := start(t, rawConfig(portOf(l.Addr())))
	framed := func(m string) string { return string([]byte{0, byte(len(m))}) + m }
	client, server := pair(t, l)
	say(t, client, server, []step{
		ask(framed(query)), answer(framed(reply)), ask(framed(query)[:9]), ask(framed(query)[9:]), answer(framed(reply)),
	})
	client.Close()
	server.Close()
	b.until(func() bool { return len(b.dnsTCP) >= 4 })
	b.finish()
	if len(b.dnsTCP) != 4 {
		t.Fatalf("%d exchanges, want 4", len(b.dnsTCP))
	}
	for _, x := range b.dnsTCP {
		if string(x.Message) != reply || x.First < x.Start {
			t.Errorf("%+v", x)
		}
	}
}

// TestHello: of a TLS connection the first flights are seen, and nothing more.
func TestHello(t *testing.T) {
	b := start(t, testConfig())
	l := listen(t, "tcp4", "127.0.0.1:0")
	hello := "\x16\x03\x01\x02\x00\x01" + body(500)
	client, server := pair(t, l)
	say(t, client, server, []step{ask(hello), answer("\x16\x03\x03" + body(1000))})
	for range 20 {
		say(t, client, server, []step{ask(body(1000)), answer(body(1000))})
	}
	io.WriteString(client, "GET / HTTP/1.1\r\n\r\n")
	client.Close()
	server.Close()
	b.until(func() bool { return b.hellos[portOf(l.Addr())] >= 2 })
	b.finish()
	if n := b.hellos[portOf(l.Addr())]; n != 2 {
		t.Errorf("%d handshakes, want one of each end", n)
	}
	if n := b.sum(incoming(portOf(l.Addr()))).Count; n != 0 {
		t.Errorf("%d exchanges inside TLS", n)
	}
}
