package l7

import "weft/protocol"

const (
	notAProtocol = "not_a_protocol"
	// What is enough to know that the first bytes of a side are of no protocol.
	enoughBytes, enoughPieces = 32, 8
	// A connection joined amid a message is of no protocol when none was found
	// in that many pieces of both sides, or, since a body may be long, of one.
	joinedPieces, loneJoinedPieces = 8, 1024
)

// first is how far the detection is with the first bytes of a side.
type first struct {
	offered  uint64 // the end of the bytes that were offered last
	refused  int    // how often all protocols said No
	hopeless bool   // more bytes would not help
}

// detect offers the first bytes of each side to the protocols, in their order,
// and opens the connection or, when there is no hope, ends it.
func (e *Engine) detect(c *conn) {
	for sd := range protocol.Side(2) {
		for c.parser == nil && e.offer(c, sd) {
		}
	}
	if c.parser == nil && c.hopeless() {
		e.kill(c, protocol.Invalid, notAProtocol)
	}
}

// offer offers the first bytes of a side, if there are new ones. It returns
// true when another try with what is held may go better.
func (e *Engine) offer(c *conn, sd protocol.Side) bool {
	f := &c.sides[sd].first
	data, n := e.firstBytes(c, sd)
	end := c.sides[sd].base + uint64(len(data))
	if len(data) == 0 || end == f.offered {
		return false
	}
	f.offered = end
	verdict := protocol.No
	for _, p := range e.o.Protocols {
		switch v := p.Detect(sd, data, c.joined); v {
		case protocol.Yes:
			c.open(p)
			return false
		case protocol.NeedMore:
			verdict = v
		}
	}
	f.hopeless = false
	if verdict == protocol.NeedMore {
		if to := c.firstEnd(sd); to > end { // more was not captured
			e.lost[uncaptured].Add(int64(to - end))
			e.beginAt(c, sd, end, to, cut)
		}
		return false
	}
	f.refused++
	if c.joined {
		e.discardFirst(c, sd)
		return true
	}
	f.hopeless = len(data) >= enoughBytes || n >= enoughPieces
	return false
}

// firstBytes returns the captured bytes of a side from its base up to the first
// hole, and of how many pieces they are.
func (e *Engine) firstBytes(c *conn, sd protocol.Side) (data []byte, pieces int) {
	end := c.sides[sd].base
	for i := 0; i < len(c.held); i++ {
		p := &c.held[i]
		if p.side != sd || p.off > end || p.off+uint64(len(p.data)) <= end {
			continue
		}
		fresh := p.data[end-p.off:]
		switch pieces {
		case 0:
			data = fresh
		case 1:
			e.scratch = append(append(e.scratch[:0], data...), fresh...)
			data = e.scratch
		default:
			e.scratch = append(e.scratch, fresh...)
			data = e.scratch
		}
		pieces++
		end += uint64(len(fresh))
		i = -1 // one that came before may be the next
	}
	return data, pieces
}

// discardFirst drops the first piece of a side that was joined amid a message:
// a later one may begin the next.
func (e *Engine) discardFirst(c *conn, sd protocol.Side) {
	s := &c.sides[sd]
	to := c.held[c.lowest(sd, 0)].end()
	for i := len(c.held) - 1; i >= 0; i-- {
		if p := &c.held[i]; p.side == sd && p.end() <= to {
			e.unhold(c, i)
			e.chunks.Drop(notAProtocol, 1)
		}
	}
	s.base = to
	s.first.offered = 0
}

func (c *conn) hopeless() bool {
	a, b := &c.sides[0], &c.sides[1]
	one := a.known != b.known
	if !c.joined {
		return (a.first.hopeless || !a.known) && (b.first.hopeless || !b.known)
	}
	if one {
		return max(a.first.refused, b.first.refused) >= loneJoinedPieces
	}
	return min(a.first.refused, b.first.refused) >= joinedPieces
}

// giveUpFirst is giveUp before the protocol is found: a side begins anew behind
// its first hole, as if joined there. It returns false if all may wait on.
func (e *Engine) giveUpFirst(c *conn, now int64) bool {
	full := e.full(c)
	for sd := range protocol.Side(2) {
		end := c.firstEnd(sd)
		i := c.lowest(sd, end+1)
		if i >= 0 && (full || c.held[i].at+holeWait < now) {
			to := c.held[i].off
			e.lost[gap].Add(int64(to - end))
			e.beginAt(c, sd, end, to, cut)
			return true
		}
	}
	switch {
	case !full:
		return false
	case e.buffered.Load() > e.o.MaxMemory:
		// It is not its fault: it may be found later.
		for sd := range protocol.Side(2) {
			end := c.firstEnd(sd)
			e.beginAt(c, sd, end, end, bufferFull)
		}
	default:
		e.kill(c, protocol.Invalid, notAProtocol)
	}
	return true
}

// beginAt drops what a side holds before the end of its first bytes, for the
// reason, and begins it anew there or at a later offset.
func (e *Engine) beginAt(c *conn, sd protocol.Side, end, to uint64, why lossReason) {
	s := &c.sides[sd]
	e.lost[why].Add(int64(end - s.base))
	for i := len(c.held) - 1; i >= 0; i-- {
		if p := &c.held[i]; p.side == sd && p.off < to {
			e.unhold(c, i)
			e.chunks.Drop(why.String(), 1)
		}
	}
	s.gone = span{end, to, "late"}
	s.base, s.first, c.joined = to, first{}, true
}

// firstEnd is the offset of the first hole of a side.
func (c *conn) firstEnd(sd protocol.Side) uint64 {
	end := c.sides[sd].base
	for i := 0; i < len(c.held); i++ {
		if p := &c.held[i]; p.side == sd && p.off <= end && p.end() > end {
			end = p.end()
			i = -1
		}
	}
	return end
}
