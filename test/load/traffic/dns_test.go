package traffic

import (
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A server that a test controls: it answers every query with the code, and
// leaves those out that drop says.
func serveNames(t *testing.T, code dnsmessage.RCode, drop func(n int) bool) *net.UDPAddr {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for n := 0; ; n++ {
			k, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:k]); err != nil {
				t.Errorf("a query that is none: %v", err)
			}
			if drop(n) {
				continue
			}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: code}}
			b, _ := answer.Pack()
			_, _ = conn.WriteToUDP(b, from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr)
}

func TestDNSClientCounts(t *testing.T) {
	to := serveNames(t, dnsmessage.RCodeNameError, func(int) bool { return false })
	r := DNSClient(t.Context(), DNSQueries{Server: to.AddrPort(), Names: []string{"a%d.test/A", "b.test/AAAA"}, N: 200,
		Limit: time.Minute, Workers: 4, PerSocket: 7, EDNS: true, Timeout: 5 * time.Second})
	if r.Ops != 200 || r.Failed != 0 || len(r.Rcodes) != 1 || r.Rcodes[3] != 200 || r.SentPackets != 200 {
		t.Errorf("%+v", r)
	}
	if r.LatencyMean <= 0 || r.LatencyMedian <= 0 {
		t.Errorf("no latency: %+v", r)
	}
}

func TestDNSClientSendsAgain(t *testing.T) {
	// Of each query the first is lost; the last query altogether.
	to := serveNames(t, dnsmessage.RCodeSuccess, func(n int) bool { return n%2 == 0 || n >= 4 })
	r := DNSClient(t.Context(), DNSQueries{Server: to.AddrPort(), Names: []string{"a.test"}, N: 3,
		Limit: time.Minute, Workers: 1, Timeout: 50 * time.Millisecond, Attempts: 2})
	if r.Ops != 3 || r.Rcodes[0] != 2 || r.Rcodes[RcodeTimeout] != 1 || r.Retries != 3 {
		t.Errorf("%+v", r)
	}
}

func TestDNSQueryBytes(t *testing.T) {
	got, err := dnsQuery(0x1234, "ab.c/AAAA", false)
	want := append([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x02ab\x01c\x00\x00\x1c\x00\x01"...)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v", got, err)
	}
	for _, wrong := range []string{"a..b/A", "a/HINFO", ""} {
		if _, err := dnsQuery(1, wrong, true); err == nil {
			t.Errorf("%q passed for a question", wrong)
		}
	}
}
