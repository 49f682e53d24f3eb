package dnsflow

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weft/l7"
	"weft/ledger"
	"weft/protocol"
	"weft/protocol/dns"
	"weft/record"
)

const second = int64(time.Second)

// host is what a test sends datagrams to.
type host struct {
	t   testing.TB
	led *ledger.Ledger
	*Tracker
	got []string
}

func newHost(t testing.TB, maxPending int) *host {
	h := &host{t: t, led: ledger.New()}
	h.Tracker = New(Options{Timeout: 5 * time.Second, MaxPending: maxPending, Out: h.out}, h.led)
	return h
}

func (h *host) out(x *Transaction) {
	line := fmt.Sprintf("%s %s>%s %d/%s %s %s rcode %d", x.Flow.Direction,
		netip.AddrPortFrom(x.Flow.Src, uint16(x.Flow.SrcPort)),
		netip.AddrPortFrom(x.Flow.Dst, uint16(x.Flow.DstPort)), x.Flow.PID, x.Flow.Comm, x.Name, x.Type, x.Rcode)
	if x.Rcode != record.RcodeTimeout {
		line += fmt.Sprintf(" in %v", time.Duration(x.Latency))
	}
	if x.Retries > 0 {
		line += fmt.Sprintf(" retries %d", x.Retries)
	}
	for _, a := range x.Addrs {
		line += fmt.Sprintf(" %s/%d", a.IP, a.TTL)
	}
	h.got = append(h.got, line)
}

// end is one end of a flow: a socket and its process.
type end struct {
	sock          uint64
	pid           uint32
	comm          string
	local, remote string
}

func (h *host) pass(e end, egress bool, at int64, b []byte) {
	l, r := netip.MustParseAddrPort(e.local), netip.MustParseAddrPort(e.remote)
	h.Datagram(&Datagram{
		Flow: record.FlowKey{
			Src: l.Addr(), Dst: r.Addr(), SrcPort: record.Port(l.Port()), DstPort: record.Port(r.Port()),
			Transport: record.UDP, PID: e.pid, Comm: e.comm, NetNS: 1,
		},
		Sock: e.sock, Egress: egress, Data: b, Len: len(b), Time: at,
	})
}

func (h *host) sends(e end, at int64, b []byte)    { h.pass(e, true, at, b) }
func (h *host) receives(e end, at int64, b []byte) { h.pass(e, false, at, b) }

// check compares the transactions, and the counters of both stages in the form
// "in out reason=n …"; it holds for every test that nothing is lost.
func (h *host) check(queries, responses string, want ...string) {
	h.t.Helper()
	if !slices.Equal(h.got, want) {
		h.t.Errorf("transactions:\n%s\nwant\n%s", strings.Join(h.got, "\n"), strings.Join(want, "\n"))
	}
	for stage, want := range map[string]string{"l7.dns": queries, "l7.dns_responses": responses} {
		if got := h.counts(stage); got != want {
			h.t.Errorf("%s: %s, want %s", stage, got, want)
		}
	}
	h.balance()
}

func (h *host) counts(stage string) string {
	for _, c := range h.led.Snapshot() {
		if c.Stage == stage {
			text := fmt.Sprint(c.In, " ", c.Out)
			var reasons []string
			for r, n := range c.Dropped {
				reasons = append(reasons, fmt.Sprintf(" %s=%d", r, n))
			}
			slices.Sort(reasons)
			return text + strings.Join(reasons, "")
		}
	}
	return ""
}

func (h *host) balance() {
	h.t.Helper()
	for _, c := range h.led.Snapshot() {
		left := c.In - c.Out
		for _, n := range c.Dropped {
			left -= n
		}
		if c.Stage == "l7.dns" {
			left -= int64(h.led.Gauges()[0].Read())
		}
		if left != 0 {
			h.t.Errorf("%s: %d are not accounted for: %+v", c.Stage, left, c)
		}
	}
}

func message(t testing.TB, h dnsmessage.Header, name string, typ dnsmessage.Type, ips ...string) []byte {
	m := dnsmessage.Message{Header: h}
	n := dnsmessage.MustNewName(name)
	m.Questions = []dnsmessage.Question{{Name: n, Type: typ, Class: dnsmessage.ClassINET}}
	for _, ip := range ips {
		m.Answers = append(m.Answers, address(n, ip))
	}
	return pack(t, m)
}

func address(n dnsmessage.Name, ip string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 60},
		Body:   &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()},
	}
}

func pack(t testing.TB, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ask(t testing.TB, id uint16, name string) []byte {
	return message(t, dnsmessage.Header{ID: id}, name, dnsmessage.TypeA)
}

func reply(t testing.TB, id uint16, name string, rcode int, ips ...string) []byte {
	h := dnsmessage.Header{ID: id, Response: true, RCode: dnsmessage.RCode(rcode)}
	return message(t, h, name, dnsmessage.TypeA, ips...)
}

func curl() end {
	return end{sock: 1, pid: 7, comm: "curl", local: "10.0.0.1:40000", remote: "10.0.0.53:53"}
}

func TestClient(t *testing.T) {
	h := newHost(t, 0)
	c := curl()
	h.sends(c, 10, ask(t, 1, "A.org."))
	softirq := c
	softirq.pid, softirq.comm = 99, "swapper"
	h.receives(softirq, 1010, reply(t, 1, "a.ORG.", 0, "10.1.1.1", "10.1.1.2"))
	h.sends(c, 2000, ask(t, 2, "b.org."))
	softirq.pid, softirq.comm = 0, ""
	h.receives(softirq, 2100, reply(t, 2, "b.org.", 3))
	h.check("2 2", "2 2",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 0 in 1µs 10.1.1.1/60 10.1.1.2/60",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl b.org A rcode 3 in 100ns")
}

// The worker that answers is the process, not who the softirq interrupted.
func TestServer(t *testing.T) {
	h := newHost(t, 0)
	s := end{sock: 2, pid: 99, comm: "swapper", local: "10.0.0.53:53", remote: "10.0.0.1:40000"}
	h.receives(s, 10, ask(t, 1, "a.org."))
	s.pid, s.comm = 53, "unbound"
	h.sends(s, 1010, reply(t, 1, "a.org.", 0))
	h.check("1 1", "1 1", "incoming 10.0.0.53:53>10.0.0.1:40000 53/unbound a.org A rcode 0 in 1µs")
}

// Both ends are here, and the server's own query upstream has the same ID.
func TestLoopback(t *testing.T) {
	for _, known := range []uint64{1, 0} { // with and without the sockets
		h := newHost(t, 0)
		c := end{sock: 1 * known, pid: 7, comm: "curl", local: "127.0.0.1:40000", remote: "127.0.0.1:53"}
		s := end{sock: 2 * known, pid: 53, comm: "stub", local: "127.0.0.1:53", remote: "127.0.0.1:40000"}
		u := end{sock: 3 * known, pid: 53, comm: "stub", local: "10.0.0.1:40000", remote: "10.0.0.53:53"}
		h.sends(c, 1, ask(t, 5, "a.org."))
		h.receives(s, 2, ask(t, 5, "a.org."))
		h.sends(u, 3, ask(t, 5, "a.org."))
		h.receives(u, 13, reply(t, 5, "a.org.", 0))
		h.sends(s, 22, reply(t, 5, "a.org.", 0))
		h.receives(c, 31, reply(t, 5, "a.org.", 0))
		h.check("3 3", "3 3",
			"outgoing 10.0.0.1:40000>10.0.0.53:53 53/stub a.org A rcode 0 in 10ns",
			"incoming 127.0.0.1:53>127.0.0.1:40000 53/stub a.org A rcode 0 in 20ns",
			"outgoing 127.0.0.1:40000>127.0.0.1:53 7/curl a.org A rcode 0 in 30ns")
	}
}

func TestTimeout(t *testing.T) {
	h := newHost(t, 0)
	c := curl()
	h.sends(c, 1*second, ask(t, 1, "a.org."))
	h.sends(c, 2*second, ask(t, 2, "b.org."))
	h.Expire(6*second - 1)
	if len(h.got) != 0 {
		t.Fatal("timed out too early: ", h.got)
	}
	h.Expire(6 * second)
	h.Expire(6 * second)
	// b's time is over too, though nobody called Expire; and only once.
	h.receives(c, 7*second, reply(t, 2, "b.org.", 0))
	h.receives(c, 8*second, reply(t, 1, "a.org.", 0))
	h.Expire(100 * second)
	h.check("2 2", "2 0 late_response=2",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode -1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl b.org A rcode -1")
}

func TestSetTimeout(t *testing.T) {
	h := newHost(t, 0)
	h.sends(curl(), 0, ask(t, 1, "a.org."))
	h.SetTimeout(time.Second)
	h.Expire(second)
	h.check("1 1", "0 0", "outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode -1")
}

// When datagrams were lost, a response may have been among them.
func TestLost(t *testing.T) {
	h := newHost(t, 0)
	h.sends(curl(), 1*second, ask(t, 1, "a.org."))
	h.sends(curl(), 1*second, ask(t, 2, "b.org."))
	h.Lost(2 * second)
	h.sends(curl(), 3*second, ask(t, 3, "c.org."))
	h.receives(curl(), 4*second, reply(t, 2, "b.org.", 0))
	h.Expire(10 * second)
	h.check("3 2 gap=1", "1 1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl b.org A rcode 0 in 3s",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl c.org A rcode -1")
}

func TestRetriesAndDuplicates(t *testing.T) {
	h := newHost(t, 0)
	c := curl()
	early := c
	early.pid, early.comm = 0, "" // seen before its process was known
	h.sends(early, 0, ask(t, 1, "a.org."))
	h.sends(c, 2*second, ask(t, 1, "a.org."))
	h.sends(c, 4*second, ask(t, 1, "a.org."))
	h.receives(c, 4*second+5, reply(t, 1, "a.org.", 2))
	h.receives(c, 4*second+6, reply(t, 1, "a.org.", 2))
	h.sends(c, 5*second, ask(t, 1, "a.org.")) // begins anew
	h.receives(c, 5*second+7, reply(t, 1, "a.org.", 0))
	h.check("4 2 retry=2", "3 2 duplicate_response=1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 2 in 4.000000005s retries 2",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 0 in 7ns")
}

// What only looks alike is kept apart: other names or types with the same ID on
// one socket, and other sockets, servers, namespaces with the same ID and name.
func TestKeptApart(t *testing.T) {
	h := newHost(t, 0)
	c, other, second := curl(), curl(), curl()
	other.remote, second.sock = "10.0.0.54:53", 9
	aaaa := message(t, dnsmessage.Header{ID: 1}, "a.org.", dnsmessage.TypeAAAA)
	h.sends(c, 1, ask(t, 1, "a.org."))
	h.sends(c, 2, ask(t, 1, "b.org."))
	h.sends(c, 3, aaaa)
	h.sends(other, 4, ask(t, 1, "a.org."))
	h.sends(second, 5, ask(t, 1, "a.org."))
	h.receives(c, 11, reply(t, 1, "c.org.", 9))
	h.receives(second, 15, reply(t, 1, "a.org.", 5))
	h.receives(other, 14, reply(t, 1, "a.org.", 4))
	h.receives(c, 12, reply(t, 1, "b.org.", 2))
	h.receives(c, 11, reply(t, 1, "a.org.", 1))
	h.Flush(20)
	h.check("5 4 pending_at_exit=1", "5 4 orphan_response=1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 5 in 10ns",
		"outgoing 10.0.0.1:40000>10.0.0.54:53 7/curl a.org A rcode 4 in 10ns",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl b.org A rcode 2 in 10ns",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 1 in 10ns")
}

func TestOddDatagrams(t *testing.T) {
	h := newHost(t, 0)
	c := curl()
	bare := message(t, dnsmessage.Header{ID: 1, Response: true, RCode: 1}, "a.", 1)[:12]
	bare[5] = 0 // an error without the question
	h.receives(c, 1, bare)
	h.sends(c, 2, ask(t, 1, "a.org."))
	h.sends(c, 2, ask(t, 1, "b.org."))
	h.receives(c, 3, bare)
	h.receives(c, 4, reply(t, 1, "b.org.", 0)[:24]) // cut behind the question
	h.receives(c, 5, bare)
	h.receives(c, 6, reply(t, 2, "b.org.", 0)[:20]) // cut in the question
	h.sends(c, 7, ask(t, 3, "b.org.")[:5])
	h.sends(c, 7, pack(t, dnsmessage.Message{Header: dnsmessage.Header{ID: 4}}))
	for i := range maxAlike + 2 {
		h.sends(c, 8, ask(t, 5, fmt.Sprintf("n%d.org.", i)))
	}
	h.Flush(9)
	h.check("22 2 malformed=1 pending_at_exit=16 question_count=1 too_many_alike=2",
		"5 2 ambiguous_response=1 malformed=1 orphan_response=1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl b.org A rcode 0 in 2ns",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 1 in 3ns")
}

func TestBounded(t *testing.T) {
	h := newHost(t, 3)
	for i := range 10 {
		h.sends(curl(), int64(i), ask(t, uint16(i), "a.org."))
	}
	h.receives(curl(), 20, reply(t, 6, "a.org.", 0))
	h.receives(curl(), 20, reply(t, 7, "a.org.", 0))
	h.check("10 1 evicted=7", "2 1 orphan_response=1",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/curl a.org A rcode 0 in 13ns")
}

func TestTCP(t *testing.T) {
	h := newHost(t, 0)
	info := l7.Info{Flow: record.FlowKey{
		Src: netip.MustParseAddr("10.0.0.1"), SrcPort: 40000, Dst: netip.MustParseAddr("10.0.0.53"), DstPort: 53,
		Transport: record.TCP, PID: 7, Comm: "dig",
	}}
	frames := func(all ...[]byte) (b []byte) {
		for _, m := range all {
			b = append(append(b, byte(len(m)>>8), byte(len(m))), m...)
		}
		return b
	}
	engine := l7.New(l7.Options{
		Protocols: []protocol.Protocol{dns.New()},
		Out:       func(_ l7.ConnID, info *l7.Info, x *protocol.Exchange) { h.TCP(info.Flow, x) },
	}, ledger.New())
	queries := frames(ask(t, 1, "a.org."), ask(t, 2, "b.org."), ask(t, 2, "b.org."), ask(t, 3, "c.org."))
	replies := frames(reply(t, 9, "x.org.", 0), reply(t, 2, "b.org.", 3), reply(t, 1, "a.org.", 0, "10.1.1.1"))
	for sock := range uint64(2) {
		id := l7.ConnID{Sock: sock}
		engine.Open(id, info)
		engine.Chunk(&l7.Chunk{Conn: id, Side: protocol.Client, Data: queries, Time: 100})
		engine.Chunk(&l7.Chunk{Conn: id, Side: protocol.Server, Data: replies[:20], Time: 150})
		engine.Chunk(&l7.Chunk{Conn: id, Side: protocol.Server, Data: replies[20:], Offset: 20, Time: 160})
		if sock == 1 {
			h.Flush(170)
		}
		engine.Close(id, 200)
	}
	answered := []string{
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/dig b.org A rcode 3 in 60ns",
		"outgoing 10.0.0.1:40000>10.0.0.53:53 7/dig a.org A rcode 0 in 60ns 10.1.1.1/60",
	}
	closed := "outgoing 10.0.0.1:40000>10.0.0.53:53 7/dig c.org A rcode -1"
	h.check("8 5 pending_at_exit=1 retry=2", "6 4 orphan_response=2",
		slices.Concat(answered, []string{closed}, answered)...)
	if !h.tx.TCP {
		t.Error("not marked as TCP")
	}
}
