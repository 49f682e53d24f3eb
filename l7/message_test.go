package l7

import (
	"encoding/binary"
	"fmt"

	"weft/protocol"
)

// messages is a protocol for tests: a kind, a number, a length and as many
// bytes 'x'. A request ('Q') and the response ('A') of the same number belong
// together. The rest of a body of even length is skipped, one of odd length is
// wanted whole. 'U' answers and goes on with "http2", 'W' with something else.
type messages struct{ name string }

const headSize = 9

func message(kind byte, id, size int) []byte {
	b := make([]byte, headSize+size)
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(id))
	binary.BigEndian.PutUint32(b[5:], uint32(size))
	for i := headSize; i < len(b); i++ {
		b[i] = 'x'
	}
	return b
}

func (m messages) Name() string { return m.name }

func kinds(sd protocol.Side) string {
	if sd == protocol.Client {
		return "Q"
	}
	return "AUW"
}

func begins(sd protocol.Side, b []byte) bool {
	for _, k := range []byte(kinds(sd)) {
		if len(b) > 0 && b[0] == k {
			return true
		}
	}
	return false
}

func (m messages) Detect(sd protocol.Side, first []byte, _ bool) protocol.Verdict {
	switch {
	case !begins(sd, first):
		return protocol.No
	case len(first) < headSize:
		return protocol.NeedMore
	}
	return protocol.Yes
}

func (m messages) Open(joined bool) protocol.Conn {
	c := &messageConn{name: m.name, waiting: map[uint32]*protocol.Exchange{}}
	c.resync, c.known = [2]bool{joined, joined}, [2]bool{!joined, !joined}
	return c
}

// Upgraded makes it an upgrader where its name is http2.
func (m messages) Upgraded(first *protocol.Exchange) protocol.Conn {
	c := m.Open(false).(*messageConn)
	c.Adopt(first)
	return c
}

type messageConn struct {
	name    string
	waiting map[uint32]*protocol.Exchange
	order   []uint32
	resync  [2]bool
	next    [2]uint64 // where the next Feed must begin
	known   [2]bool
	lost    [2]uint64
	faults  []string // broken promises of the engine
	closed  bool
	last    int64
}

func (c *messageConn) Adopt(x *protocol.Exchange) {
	var id uint32
	fmt.Sscan(x.Path, &id)
	c.waiting[id] = x
	c.order = append(c.order, id)
}

func (c *messageConn) fault(format string, a ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, a...))
}

// check holds the engine to the contract of protocol.Conn.
func (c *messageConn) check(seg protocol.Segment) {
	sd := seg.Side
	if c.known[sd] && seg.Offset != c.next[sd] {
		c.fault("side %d: fed at %d, want %d", sd, seg.Offset, c.next[sd])
	}
	c.known[sd] = true
	if c.closed {
		c.fault("fed after Close")
	}
	if seg.Fresh <= 0 || seg.Fresh > len(seg.Data) || seg.Begun > seg.Now || seg.Now < c.last {
		c.fault("side %d: fresh %d of %d, begun %d, now %d after %d",
			sd, seg.Fresh, len(seg.Data), seg.Begun, seg.Now, c.last)
	}
	c.last = seg.Now
}

func (c *messageConn) Feed(seg protocol.Segment, emit protocol.Emit) (p protocol.Progress) {
	c.check(seg)
	defer func() { c.next[seg.Side] = seg.Offset + uint64(p.Consumed) + p.Skip }()
	b := seg.Data
	if c.resync[seg.Side] {
		if !seg.Started || !begins(seg.Side, b) {
			return protocol.Progress{Consumed: len(b)}
		}
		c.resync[seg.Side] = false
	}
	for i := 0; ; {
		if i < len(b) && !begins(seg.Side, b[i:]) {
			return protocol.Progress{Consumed: i, End: protocol.Invalid}
		}
		if len(b)-i < headSize {
			return protocol.Progress{Consumed: i}
		}
		size := int(binary.BigEndian.Uint32(b[i+5:]))
		have := min(size, len(b)-i-headSize)
		if have < size && size%2 == 1 {
			return protocol.Progress{Consumed: i}
		}
		c.message(seg, i, size, emit)
		kind := b[i]
		i += headSize + have
		switch {
		case kind == 'U':
			return protocol.Progress{Consumed: i, End: protocol.UpgradedH2C}
		case kind == 'W':
			return protocol.Progress{Consumed: i, End: protocol.Upgraded}
		case have < size:
			return protocol.Progress{Consumed: i, Skip: uint64(size - have)}
		}
	}
}

func (c *messageConn) message(seg protocol.Segment, i, size int, emit protocol.Emit) {
	id := binary.BigEndian.Uint32(seg.Data[i+1:])
	if seg.Side == protocol.Client {
		c.waiting[id] = &protocol.Exchange{Protocol: c.name, Path: fmt.Sprint(id), ReqOffset: seg.Offset + uint64(i),
			Start: seg.At(i), ReqBytes: uint64(headSize + size)}
		c.order = append(c.order, id)
		return
	}
	x := c.waiting[id]
	if x == nil {
		return
	}
	delete(c.waiting, id)
	x.First, x.End, x.RespBytes, x.Status = seg.At(i), seg.Now, uint64(headSize+size), 200
	if seg.Data[i] == 'U' {
		x.Status = 101
	}
	emit(x)
}

func (c *messageConn) Lost(sd protocol.Side, n uint64) {
	if n == 0 {
		c.fault("lost nothing")
	}
	c.lost[sd] += n
	c.resync[sd] = true
	c.next[sd] += n
}

func (c *messageConn) Close(at int64, emit protocol.Emit) {
	if c.closed || at < c.last {
		c.fault("closed at %d after %d, closed before: %v", at, c.last, c.closed)
	}
	c.closed = true
	for _, id := range c.order {
		if x := c.waiting[id]; x != nil {
			x.End = at
			emit(x)
		}
	}
}
