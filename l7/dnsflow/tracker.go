// Package dnsflow makes transactions of DNS messages: a query, its repetitions
// and its response, or the lack of one. Pure, no I/O, no clock.
//
// Place in the path of a record: source/* → Datagram, and l7 → protocol/dns →
// protocol.Exchange → Tracker → Transaction → aggregate.
package dnsflow

import (
	"math"
	"sync/atomic"
	"time"

	"weft/ledger"
	"weft/protocol/dns"
	"weft/record"
)

// Datagram is a DNS message over UDP as the kernel showed it at a socket.
// Those of one socket come in the order in which they passed it.
type Datagram struct {
	// Flow has the local end as Src, the true ports, and the process as far as
	// it is known.
	Flow record.FlowKey
	// Sock is the kernel's socket, the same one for what it sends and receives;
	// 0 when unknown.
	Sock uint64
	// Egress: the local end sent it.
	Egress bool
	// Data is what was captured of the payload; valid during the call.
	Data []byte
	// Len is the true length of the payload.
	Len int
	// Time in monotonic ns.
	Time int64
}

// Transaction is a query and what became of it.
type Transaction struct {
	// Flow has the true ports. Direction Outgoing: the local end asked. A query
	// to a multicast group keeps the group as Dst, whoever answered.
	Flow record.FlowKey
	// Name and Type as dns.Message has them.
	Name, Type string
	// Rcode with EDNS's bits, or record.RcodeTimeout.
	Rcode int
	// Latency in ns from the first query to the end of the response; 0 when
	// there was none.
	Latency int64
	// Answers is how many records the response says to have.
	Answers int
	// Retries is how often the query was repeated; always 0 over TCP.
	Retries int
	// Addrs are the addresses of Name; valid during the call.
	Addrs []dns.Addr
	// Start is when the first query passed, in monotonic ns.
	Start int64
	// TCP: it went over TCP. Truncated: the response has the TC bit.
	TCP, Truncated bool
}

// Options configures a Tracker.
type Options struct {
	// Timeout after which a query over UDP counts as unanswered; 0 for 6 s.
	Timeout time.Duration
	// MaxPending is how many queries wait at most; 0 for 65536.
	MaxPending int
	// Out takes a transaction, which is valid during the call.
	Out func(*Transaction)
}

const (
	defaultTimeout = 6 * time.Second
	defaultPending = 65536
	// maxAlike queries wait with the same socket, ends and ID but other names.
	maxAlike = 16
	portMDNS = 5353 // RFC 6762
	// portLLMNR answers come from the responder, not from the group (RFC 4795).
	portLLMNR = 5355
)

// Tracker matches responses with queries. Its stages in the ledger:
//
//   - "l7.dns": in = queries; out = transactions; dropped = "retry" (part of a
//     transaction), "question_count", "malformed", "too_many_alike", "evicted",
//     "multicast_unanswered" (somebody else's to answer), "gap" (the response
//     may have been lost on its way to us), "pending_at_exit", and the problems
//     of protocol/dns. What is left is the gauge of those waiting.
//   - "l7.dns_responses": in = responses; out = those that ended a transaction;
//     dropped = "orphan_response", "late_response", "duplicate_response",
//     "ambiguous_response", "unsolicited_mdns", "malformed".
//
// It is used by one goroutine at a time.
type Tracker struct {
	opt                Options
	table              table
	recent             *recent
	msg                dns.Message
	tx                 Transaction
	queries, responses *ledger.Stage
	waiting            *atomic.Int64
	// blind is when datagrams were lost last; flushed: the end has come.
	blind   int64
	flushed bool
}

// New returns a tracker that counts in the ledger.
func New(o Options, led *ledger.Ledger) *Tracker {
	if o.MaxPending <= 0 {
		o.MaxPending = defaultPending
	}
	t := &Tracker{
		opt: o, table: newTable(), recent: newRecent(), waiting: new(atomic.Int64), blind: math.MinInt64,
		queries: led.Stage("l7.dns"), responses: led.Stage("l7.dns_responses"),
	}
	t.SetTimeout(o.Timeout)
	led.AddGauge(ledger.Gauge{
		Name: "dns_queries_waiting", Help: "DNS queries over UDP that wait for their response.",
		Read: func() float64 { return float64(t.waiting.Load()) },
	})
	return t
}

// SetTimeout changes the timeout, also of queries that wait; 0 for 6 s.
func (t *Tracker) SetTimeout(d time.Duration) {
	if d <= 0 {
		d = defaultTimeout
	}
	t.opt.Timeout = d
}

// Datagram takes a message.
func (t *Tracker) Datagram(d *Datagram) {
	t.expire(d.Time)
	err := t.msg.Decode(d.Data)
	stage, take := t.queries, t.query
	if t.msg.Response {
		stage, take = t.responses, t.response
	}
	stage.In(1)
	if err != nil {
		stage.Drop("malformed", 1)
	} else {
		take(d)
	}
	t.waiting.Store(int64(t.table.n))
}

func (t *Tracker) query(d *Datagram) {
	if t.msg.Questions != 1 {
		t.queries.Drop("question_count", 1)
		return
	}
	dir := record.Incoming
	if d.Egress {
		dir = record.Outgoing
	}
	k := t.key(d, dir, t.msg.Name)
	alike := 0
	for p := t.table.byKey[k]; p != nil; p = p.alike {
		if p.asks(t.msg.Name, t.msg.Type) && p.flow.Dst == d.Flow.Dst {
			p.again(d)
			t.queries.Drop("retry", 1)
			return
		}
		alike++
	}
	if alike >= maxAlike {
		t.queries.Drop("too_many_alike", 1)
		return
	}
	if t.table.n >= t.opt.MaxPending {
		t.table.remove(t.table.oldest)
		t.queries.Drop("evicted", 1)
	}
	p := t.table.add(k)
	p.name, p.typ, p.flow, p.start = t.msg.Name, t.msg.Type, d.Flow, d.Time
	p.flow.Direction = dir
	p.anyone = dir == record.Incoming && (t.byName(d) || d.Flow.SrcPort == portLLMNR || d.Flow.Src.IsMulticast())
}

func (t *Tracker) response(d *Datagram) {
	dir := record.Outgoing
	if d.Egress {
		dir = record.Incoming
	}
	reason := ""
	if t.byName(d) {
		reason = t.multicast(d, dir)
	} else {
		reason = t.unicast(d, dir)
	}
	if reason != "" {
		t.responses.Drop(reason, 1)
		return
	}
	t.responses.Out(1)
}

// unicast matches a response by the ends, the ID and the question; it returns
// why it could not.
func (t *Tracker) unicast(d *Datagram, dir record.Direction) string {
	k := t.key(d, dir, "")
	first := t.table.byKey[k]
	if first == nil && dir == record.Outgoing && (d.Flow.DstPort == portLLMNR || d.Flow.DstPort == portMDNS) {
		group := k // it was asked of a group
		group.remote, group.local = [16]byte{}, [16]byte{}
		first = t.table.byKey[group]
	}
	if first != nil && t.msg.Questions == 0 {
		// Servers that do not understand a query may leave it out of their error.
		if first.alike != nil {
			return "ambiguous_response"
		}
		t.answered(first, d)
		return ""
	}
	for p := first; p != nil; p = p.alike {
		if p.asks(t.msg.Name, t.msg.Type) {
			t.answered(p, d)
			return ""
		}
	}
	return t.recent.why(k)
}

// multicast matches a response of multicast DNS by names: it has no ID, seldom
// a question, and may answer several queries (RFC 6762 section 6).
func (t *Tracker) multicast(d *Datagram, dir record.Direction) string {
	n := 0
	if t.msg.Questions > 0 {
		n = t.answerAll(d, dir, t.msg.Name, t.msg.Type, -1)
	} else {
		for i := 0; ; i++ {
			name, typ, ok := t.msg.Owner(i)
			if !ok {
				break
			}
			n += t.answerAll(d, dir, name, typ, i)
		}
	}
	if n == 0 {
		return "unsolicited_mdns"
	}
	return ""
}

// answerAll ends all transactions that a record of this name and type answers;
// i is the record's place, or -1 when the question was repeated.
func (t *Tracker) answerAll(d *Datagram, dir record.Direction, name, typ string, i int) int {
	n := 0
	var after *pending
	for p := t.table.byKey[t.key(d, dir, name)]; p != nil; p = after {
		after = p.alike
		if p.name == name && satisfies(typ, p.typ) && p.heard(d) {
			if i >= 0 {
				t.msg.Follow(i)
			}
			t.answered(p, d)
			n++
		}
	}
	return n
}

// satisfies tells whether a record of a type answers a question for another:
// an alias does, and NSEC says that there is none (RFC 6762 section 6.1).
func satisfies(typ, asked string) bool {
	return typ == asked || asked == "ANY" || typ == "CNAME" || typ == "NSEC"
}

// answered ends a transaction with the response.
func (t *Tracker) answered(p *pending, d *Datagram) {
	p.learn(d)
	t.recent.note(p.key, false)
	t.tx = Transaction{
		Flow: p.flow, Name: p.name, Type: p.typ, Start: p.start, Retries: p.retries,
		Rcode: t.msg.Rcode, Latency: max(0, d.Time-p.start),
		Answers: t.msg.Answers, Addrs: t.msg.Addrs, Truncated: t.msg.Truncated,
	}
	t.table.remove(p)
	t.emit()
}

// Expire ends transactions whose timeout has passed at a time in monotonic ns.
// Datagram does so too: a response after the timeout is late, whenever Expire
// was called.
func (t *Tracker) Expire(now int64) {
	t.expire(now)
	t.waiting.Store(int64(t.table.n))
}

func (t *Tracker) expire(now int64) {
	for p := t.table.oldest; p != nil && now-p.start >= int64(t.opt.Timeout); p = t.table.oldest {
		t.timedOut(p)
	}
}

func (t *Tracker) timedOut(p *pending) {
	if reason := t.excuse(p); reason != "" {
		t.queries.Drop(reason, 1)
		t.table.remove(p)
		return
	}
	t.recent.note(p.key, true)
	t.tx = Transaction{
		Flow: p.flow, Name: p.name, Type: p.typ, Start: p.start, Retries: p.retries, Rcode: record.RcodeTimeout,
	}
	t.table.remove(p)
	t.emit()
}

// excuse says why a query without a response is no transaction.
func (t *Tracker) excuse(p *pending) string {
	switch {
	case p.anyone:
		return "multicast_unanswered"
	case p.start <= t.blind:
		return dns.Gap
	}
	return ""
}

// Lost tells that datagrams were lost before they came here, the last of them at
// a time in monotonic ns: queries that waited then are not called unanswered.
func (t *Tracker) Lost(at int64) { t.blind = max(t.blind, at) }

// Flush is the end: what has not timed out by now is counted, not guessed at,
// and so are queries over TCP whose connections are closed from now on.
func (t *Tracker) Flush(now int64) {
	t.flushed = true
	t.expire(now)
	for t.table.oldest != nil {
		t.table.remove(t.table.oldest)
		t.queries.Drop("pending_at_exit", 1)
	}
	t.waiting.Store(0)
}

func (t *Tracker) emit() {
	t.queries.Out(1)
	t.opt.Out(&t.tx)
}
