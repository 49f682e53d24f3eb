package dns

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"weft/protocol"
)

const (
	// maxKept octets of a message are read, the rest is skipped: a zone transfer
	// is of no interest beyond what it answers.
	maxKept = 8 << 10
	// maxWaiting queries of one connection are held while they wait.
	maxWaiting = 1024
)

// Problem is the key of the attribute of an exchange that is not a query with
// its response. Its values are reasons for a ledger, but Closed.
const Problem = "problem"

// The values of Problem.
const (
	// Closed: the connection ended before the response.
	Closed = "closed"
	// Gap: bytes of the connection were not seen, the response may be in them.
	Gap = "gap"
	// Crowded: too many queries wait already.
	Crowded = "too_many_waiting"
	// Again: the same query waits already.
	Again = "retry"
	// NoQuestion: a query without a question or with several.
	NoQuestion = "question_count"
	// Orphan: a response whose query was not seen; First and Message are set.
	Orphan = "orphan_response"
)

// conn follows a connection. It consumes all it is fed and keeps what it wants
// of a message, so that bytes that were not captured cost no more than the
// message they were in.
type conn struct {
	sides   [2]stream
	msg     Message
	waiting map[question]*asked
	seq     uint64
	// Queries up to seq blind may have been answered in bytes that were not
	// read: they were lost, or came after what could not be read.
	blind uint64
	// transfer is the ID of the last zone transfer, whose response is many
	// messages (RFC 5936 section 2.2).
	transfer    uint16
	transferred bool
}

type question struct {
	id        uint16
	name, typ string
}

// asked is a query that waits.
type asked struct {
	seq, offset, size uint64
	start, end        int64
}

func newConn(joined bool) *conn {
	c := &conn{waiting: map[question]*asked{}, msg: Message{forget: true}}
	for i := range c.sides {
		c.sides[i].synced = !joined
	}
	return c
}

// Feed implements protocol.Conn.
func (c *conn) Feed(seg protocol.Segment, emit protocol.Emit) protocol.Progress {
	s := &c.sides[seg.Side]
	if end := c.settle(seg.Side, emit); end != "" {
		return protocol.Progress{End: end}
	}
	i := 0
	if !s.synced {
		if i = s.sync(seg); !s.synced {
			return protocol.Progress{Consumed: i}
		}
	}
	for i < len(seg.Data) {
		i += s.take(seg, i)
		if end := c.settle(seg.Side, emit); end != "" {
			return protocol.Progress{Consumed: i, End: end}
		}
	}
	skip := s.skip()
	end := c.settle(seg.Side, emit)
	return protocol.Progress{Consumed: len(seg.Data), Skip: skip, End: end}
}

// Lost implements protocol.Conn.
func (c *conn) Lost(side protocol.Side, n uint64) {
	c.sides[side].lose(n)
	if side == protocol.Server {
		c.look()
	}
}

// look notes what the server's stream being out of step means for the queries.
func (c *conn) look() {
	if !c.sides[protocol.Server].synced {
		c.blind = c.seq
	}
}

// Close implements protocol.Conn.
func (c *conn) Close(_ int64, emit protocol.Emit) {
	c.settle(protocol.Client, emit)
	c.settle(protocol.Server, emit)
	c.look()
	left := make([]*protocol.Exchange, 0, len(c.waiting))
	for q, a := range c.waiting {
		why := Closed
		if a.seq <= c.blind {
			why = Gap
		}
		left = append(left, a.exchange(q, why))
	}
	clear(c.waiting)
	slices.SortFunc(left, func(a, b *protocol.Exchange) int { return cmp.Compare(a.ReqOffset, b.ReqOffset) })
	for _, x := range left {
		emit(x)
	}
}

// settle looks at the message of a side if all of it has passed.
func (c *conn) settle(side protocol.Side, emit protocol.Emit) protocol.End {
	s := &c.sides[side]
	if side == protocol.Server {
		c.look()
	}
	if !s.done() {
		return ""
	}
	defer s.reset()
	if err := c.msg.Decode(s.kept[prefixLen:]); err != nil {
		return c.unreadable(s, side)
	}
	if c.msg.Opcode == opcodeStateful {
		return "" // RFC 8490: either side asks, and not for names
	}
	if c.msg.Response != (side == protocol.Server) {
		return c.invalid()
	}
	if side == protocol.Client {
		c.query(s, emit)
	} else {
		c.response(s, emit)
	}
	return ""
}

const opcodeStateful = 6

// unreadable says what a message without a question means: nothing, when that
// was not captured, but that some query's response may have been it.
func (c *conn) unreadable(s *stream, side protocol.Side) protocol.End {
	if len(s.kept) == s.size {
		return c.invalid()
	}
	if side == protocol.Server {
		c.blind = c.seq
	}
	return ""
}

// invalid gives the connection up: no more of it will be read.
func (c *conn) invalid() protocol.End {
	c.blind = c.seq
	return protocol.Invalid
}

func (c *conn) query(s *stream, emit protocol.Emit) {
	q := question{c.msg.ID, c.msg.Name, c.msg.Type}
	a := &asked{offset: s.offset, size: uint64(s.size), start: s.begun, end: s.last}
	switch {
	case c.msg.Questions != 1:
		emit(a.exchange(q, NoQuestion))
	case c.waiting[q] != nil:
		emit(a.exchange(q, Again))
	case len(c.waiting) >= maxWaiting:
		emit(a.exchange(q, Crowded))
	default:
		c.seq++
		a.seq = c.seq
		c.waiting[q] = a
	}
}

func (c *conn) response(s *stream, emit protocol.Emit) {
	q, a := c.match()
	if a != nil && s.begun < a.start {
		a = nil // it was on its way before the query
	}
	if a == nil && c.transferred && c.transfer == c.msg.ID {
		return // one more message of the transfer
	}
	if a == nil {
		x := (&asked{}).exchange(q, Orphan)
		x.Start = s.begun
		c.answer(x, s)
		emit(x)
		return
	}
	delete(c.waiting, q)
	if q.typ == "AXFR" || q.typ == "IXFR" {
		c.transfer, c.transferred = q.id, true
	}
	x := a.exchange(q, "")
	c.answer(x, s)
	emit(x)
}

// answer puts the response into the exchange.
func (c *conn) answer(x *protocol.Exchange, s *stream) {
	x.First, x.End, x.RespBytes = s.begun, s.last, uint64(s.size)
	x.Status, x.Message = c.msg.Rcode, bytes.Clone(s.kept[prefixLen:])
}

// match finds the query of the response. One without a question, as some
// servers' errors are, answers the only query of its ID.
func (c *conn) match() (question, *asked) {
	q := question{c.msg.ID, c.msg.Name, c.msg.Type}
	if a := c.waiting[q]; a != nil || c.msg.Questions > 0 {
		return q, a
	}
	var found question
	n := 0
	for w := range c.waiting {
		if w.id == q.id {
			found = w
			n++
		}
	}
	if n != 1 {
		return q, nil
	}
	return found, c.waiting[found]
}

func (a *asked) exchange(q question, problem string) *protocol.Exchange {
	x := &protocol.Exchange{
		Protocol: "dns", Method: q.typ, Path: q.name,
		ReqOffset: a.offset, ReqBytes: a.size, Start: a.start, End: a.end,
	}
	if problem != "" {
		x.Attrs = []protocol.Attr{{Key: Problem, Value: problem}}
	}
	return x
}

// stream is a side of the connection and the message that is passing.
type stream struct {
	synced bool // the next byte begins a message or belongs to this one
	trying bool // a message may begin with what is fed next
	kept   []byte
	cut    bool // bytes between kept and seen were lost
	// size and seen are octets of the message with its length; size is 0
	// until that was read.
	size, seen  int
	offset      uint64
	begun, last int64
}

// sync looks for a message at the beginning of what was sent at once, and
// returns how many bytes are before it: all, when there is none.
func (s *stream) sync(seg protocol.Segment) int {
	verdict, from, old := protocol.No, 0, len(seg.Data)-seg.Fresh
	if s.trying && old > 0 {
		verdict = judge(seg.Side, seg.Data)
	}
	if seg.Started {
		if v := judge(seg.Side, seg.Data[old:]); v > verdict {
			verdict, from = v, old
		}
	}
	s.synced, s.trying = verdict == protocol.Yes, verdict == protocol.NeedMore
	if verdict == protocol.No {
		return len(seg.Data)
	}
	return from
}

// take takes what of the segment from i on belongs to the message.
func (s *stream) take(seg protocol.Segment, i int) int {
	if s.seen == 0 {
		s.begun, s.offset = seg.At(i), seg.Offset+uint64(i)
	}
	want := prefixLen - s.seen
	if s.size > 0 {
		want = s.size - s.seen
	}
	n := min(want, len(seg.Data)-i)
	if room := min(n, maxKept-len(s.kept)); !s.cut {
		s.kept = append(s.kept, seg.Data[i:i+room]...)
	}
	s.seen += n
	s.last = seg.At(i + n - 1)
	if s.size == 0 && s.seen == prefixLen {
		s.size = prefixLen + int(binary.BigEndian.Uint16(s.kept))
	}
	return n
}

// done tells whether the message has passed.
func (s *stream) done() bool { return s.size > 0 && s.seen == s.size }

// skip is how many bytes to come are of no use.
func (s *stream) skip() uint64 {
	if s.size == 0 || len(s.kept) < maxKept && !s.cut {
		return 0
	}
	rest := s.size - s.seen
	s.seen = s.size
	return uint64(rest)
}

// lose takes note of n bytes that will not come.
func (s *stream) lose(n uint64) {
	s.trying = false
	if s.synced && s.size > 0 && n <= uint64(s.size-s.seen) {
		s.seen += int(n)
		s.cut = true
		return
	}
	s.synced = false
	if s.size == 0 {
		s.reset()
		return
	}
	s.seen, s.cut = s.size, true
}

func (s *stream) reset() {
	*s = stream{synced: s.synced, kept: s.kept[:0]}
}
