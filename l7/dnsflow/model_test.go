package dnsflow

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"weft/ledger"
	"weft/record"
)

// event is a datagram by what it means.
type event struct {
	question
	at       int64
	response bool
	rcode    int
}

type question struct {
	sock, remote, name int
	id                 uint16
	server             bool // the socket is a server's
}

// packets are the datagrams by name and rcode; that of a query is -1.
type packets map[[2]int][]byte

func newPackets(t *testing.T) packets {
	all := packets{}
	for name := range 8 {
		all[[2]int{name, -1}] = ask(t, 0, fmt.Sprintf("n%d.org.", name))
		for rcode := range 6 {
			all[[2]int{name, rcode}] = reply(t, 0, fmt.Sprintf("n%d.org.", name), rcode)
		}
	}
	return all
}

// datagram of the event; the process is that of the socket where it is sure,
// and another where it need not be.
func (e event) datagram(all packets) *Datagram {
	local, remote := record.Port(40000+e.sock), record.Port(53)
	if e.server {
		local, remote = 53, record.Port(40000+e.remote)
	}
	d := &Datagram{
		Flow: record.FlowKey{
			Src: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Dst: netip.AddrFrom4([4]byte{10, 0, 1, byte(e.remote)}),
			SrcPort: local, DstPort: remote, Transport: record.UDP, PID: 99, NetNS: uint32(e.sock % 2),
		},
		Sock: uint64(1000 + e.sock), Egress: e.server == e.response, Time: e.at,
		Data: all[[2]int{e.name, e.rcode}],
	}
	if e.sock%5 == 0 {
		d.Sock = 0
	}
	if d.Egress {
		d.Flow.PID = uint32(e.sock)
	}
	d.Data[0], d.Data[1] = byte(e.id>>8), byte(e.id)
	return d
}

// plan makes the events of n transactions in the order of time: some lost, some
// late, repeated or answered twice, and IDs that soon come again.
func plan(rng *rand.Rand, n int, timeout int64) []event {
	var all []event
	for i := range n {
		e := event{at: int64(i)*timeout/300 + rng.Int64N(1000), rcode: -1}
		e.question = question{sock: rng.IntN(12), remote: rng.IntN(3), name: rng.IntN(8), id: uint16(rng.IntN(20))}
		e.server = e.sock >= 8
		for range 1 + rng.IntN(8)/6 {
			q := e
			q.at += rng.Int64N(timeout / 2)
			all = append(all, q)
		}
		e.response, e.rcode = true, rng.IntN(6)
		for range rng.IntN(10) / 2 / 2 {
			r := e
			r.at += rng.Int64N(timeout * 5 / 4)
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return all
}

// outcome is a transaction, by the parts that can differ.
type outcome struct {
	pid     uint32
	name    string
	dir     record.Direction
	start   int64
	rcode   int
	latency int64
	retries int
}

// model is the tracker as one would write it if nothing had to be fast.
type model struct {
	timeout int64
	waiting []struct {
		event
		retries int
	}
	out                       []outcome
	retries, others, answered int64
}

func (m *model) take(e event) {
	m.expire(e.at)
	for i, w := range m.waiting {
		if w.question != e.question {
			continue
		}
		if !e.response {
			m.waiting[i].retries++
			m.retries++
			return
		}
		m.end(w.event, w.retries, e.rcode, e.at-w.at)
		m.waiting = slices.Delete(m.waiting, i, i+1)
		m.answered++
		return
	}
	if e.response {
		m.others++
		return
	}
	m.waiting = append(m.waiting, struct {
		event
		retries int
	}{e, 0})
}

func (m *model) expire(now int64) {
	for len(m.waiting) > 0 && now-m.waiting[0].at >= m.timeout {
		w := m.waiting[0]
		m.end(w.event, w.retries, record.RcodeTimeout, 0)
		m.waiting = m.waiting[1:]
	}
}

func (m *model) end(q event, retries, rcode int, latency int64) {
	o := outcome{uint32(q.sock), fmt.Sprintf("n%d.org", q.name), record.Outgoing, q.at, rcode, latency, retries}
	if q.server {
		o.dir = record.Incoming
		if rcode < 0 {
			o.pid = 99 // nobody answered, so only who was interrupted is known
		}
	}
	m.out = append(m.out, o)
}

func TestAgainstModel(t *testing.T) {
	const n, timeout = 100_000, int64(5 * time.Second)
	rng := rand.New(rand.NewPCG(3, 4))
	all := newPackets(t)
	var got []outcome
	h := &host{t: t, led: ledger.New()}
	h.Tracker = New(Options{Timeout: time.Duration(timeout), Out: func(x *Transaction) {
		got = append(got, outcome{x.Flow.PID, x.Name, x.Flow.Direction, x.Start, x.Rcode, x.Latency, x.Retries})
	}}, h.led)
	m := &model{timeout: timeout}
	for _, e := range plan(rng, n, timeout) {
		m.take(e)
		h.Datagram(e.datagram(all))
		if rng.IntN(50) == 0 {
			h.Expire(e.at)
		}
		if i := len(got) - 1; len(m.out) != len(got) || i >= 0 && got[i] != m.out[i] {
			t.Fatalf("at %d: %d transactions, want %d: %+v, want %+v",
				e.at, len(got), len(m.out), got[max(0, i-1):], m.out[max(0, i-1):])
		}
	}
	if !slices.Equal(got, m.out) {
		t.Fatal("transactions differ")
	}
	left := int64(len(m.waiting))
	h.Flush(0)
	h.balance()
	q, r := h.counts("l7.dns"), h.counts("l7.dns_responses")
	var late, twice, orphan int64
	for _, c := range h.led.Snapshot() {
		if c.Stage == "l7.dns_responses" {
			late, twice, orphan = c.Dropped["late_response"], c.Dropped["duplicate_response"], c.Dropped["orphan_response"]
			if c.Out != m.answered || late+twice+orphan != m.others || late == 0 || twice == 0 || orphan == 0 {
				t.Errorf("responses %s, want %d and %d", r, m.answered, m.others)
			}
		} else if c.Dropped["retry"] != m.retries || c.Dropped["pending_at_exit"] != left || c.Out != int64(len(m.out)) {
			t.Errorf("queries %s, want %d out, %d retries, %d left", q, len(m.out), m.retries, left)
		}
	}
	t.Logf("queries %s; responses %s", q, r)
}

// Any bytes at any time: nothing panics, the sums agree, no memory grows.
func FuzzTracker(f *testing.F) {
	f.Add(ask(f, 1, "a.org."), reply(f, 1, "a.org.", 0, "10.0.0.1"), uint64(1))
	f.Add(ask(f, 0, "a.local."), announce(f, "a.local."), uint64(2))
	f.Fuzz(func(t *testing.T, a, b []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		h := newHost(t, 8)
		ports := []int{53, 5353, 5355, 40000}
		peers := []string{"10.0.0.2", "224.0.0.251", "fe80::1"}
		now := int64(0)
		for range 200 {
			now += rng.Int64N(second) - second/100
			e := end{
				sock: uint64(rng.IntN(2)), local: fmt.Sprintf("10.0.0.1:%d", ports[rng.IntN(4)]),
				remote: netip.AddrPortFrom(netip.MustParseAddr(peers[rng.IntN(3)]), uint16(ports[rng.IntN(4)])).String(),
			}
			data := [][]byte{a, b}[rng.IntN(2)]
			if rng.IntN(4) == 0 {
				data = data[:rng.IntN(len(data)+1)]
			}
			h.pass(e, rng.IntN(2) == 0, now, data)
			if h.table.n > 8 || len(h.table.byKey) > h.table.n {
				t.Fatalf("%d wait, %d keys", h.table.n, len(h.table.byKey))
			}
		}
		h.balance()
		h.Flush(now)
		h.balance()
		if h.table.n != 0 || len(h.table.byKey) != 0 {
			t.Fatal("something is left")
		}
	})
}

func BenchmarkTransaction(b *testing.B) {
	t := New(Options{Out: func(*Transaction) {}}, ledger.New())
	q, r := ask(b, 0, "www.example.com."), reply(b, 0, "www.example.com.", 0, "10.0.0.1", "10.0.0.2")
	d := &Datagram{Flow: record.FlowKey{
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.53"), DstPort: 53, PID: 7,
	}}
	send := func(i int, egress bool, data []byte) {
		data[0], data[1] = byte(i>>8), byte(i)
		d.Sock, d.Flow.SrcPort = uint64(i%4096), record.Port(32768+i%4096)
		d.Egress, d.Data, d.Time = egress, data, int64(i)
		t.Datagram(d)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() { // 1000 wait at any time
		send(i, true, q)
		if i >= 1000 {
			send(i-1000, false, r)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/message")
}
