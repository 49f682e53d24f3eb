package l7

import "weft/protocol"

const (
	// A hole is waited for as long as a retransmission may take: the shortest
	// timeout is 200 ms, and the packet has to travel.
	holeWait = 400 * 1e6 // ns
	maxHeld  = 64        // pieces of a connection
	// What a buffer without an owner may be, and how many are kept. Small, since
	// its next owner may need little of it.
	freeSize, freeCount = 4 << 10, 64
)

// settle feeds what can be fed of the pieces that wait, and gives up holes for
// which they may wait no longer.
func (e *Engine) settle(c *conn, now int64) {
	for len(c.held) > 0 {
		if c.parser == nil {
			e.detect(c)
		}
		e.drain(c)
		switch {
		case len(c.held) == 0:
			return
		case c.parser == nil:
			if !e.giveUpFirst(c, now) {
				return
			}
		case e.full(c) || c.held[0].at+holeWait < now:
			e.giveUp(c)
		default:
			return
		}
	}
}

// full says that the connection holds too much, or all of them together.
func (e *Engine) full(c *conn) bool {
	return len(c.held) > maxHeld || c.sides[0].waits > e.o.MaxBuffer || c.sides[1].waits > e.o.MaxBuffer ||
		e.buffered.Load() > e.o.MaxMemory
}

// drain feeds the pieces before the first hole. Sides stay in the order of
// time: a piece behind a hole holds back the other side too, and what fills the
// hole goes where the piece stood that waited for it.
func (e *Engine) drain(c *conn) {
	for c.parser != nil && len(c.held) > 0 {
		sd := c.held[0].side
		i := c.lowest(sd, 0)
		if c.held[i].off > c.sides[sd].next() {
			return
		}
		p := e.unhold(c, i)
		e.pass(c, &p)
	}
}

// giveUp ends the wait for the bytes before the oldest piece.
func (e *Engine) giveUp(c *conn) {
	sd := c.held[0].side
	off := c.held[c.lowest(sd, 0)].off
	if next := c.sides[sd].next(); off > next {
		e.lose(c, sd, off-next, gap)
	}
}

// pass feeds what is new of a piece that begins where the side stands, or
// before. Bytes behind it that were not captured are lost unless skipped.
func (e *Engine) pass(c *conn, p *piece) {
	s := &c.sides[p.side]
	next := s.next()
	data, seen := p.data, next-p.off
	why := ""
	if seen > 0 {
		if why = s.old(p.off); why == "duplicate" {
			e.repeated.Add(int64(min(seen, p.size)))
		}
		data = data[min(seen, uint64(len(data))):]
	}
	switch {
	case p.end() <= next:
		e.chunks.Drop(why, 1)
		return
	case len(data) == 0:
		e.chunks.Drop("uncaptured", 1)
	default:
		e.chunks.Out(1)
		e.feed(c, p.side, data, p.at, seen == 0)
	}
	if next = s.next(); !c.dead && p.end() > next {
		e.lose(c, p.side, p.end()-next, uncaptured)
	}
}

// feed gives the Conn the next bytes of a side, behind those that it has not
// consumed, and keeps what it does not consume now.
func (e *Engine) feed(c *conn, sd protocol.Side, data []byte, at int64, started bool) {
	s := &c.sides[sd]
	// What filled a hole late was of no use before: time does not run backwards.
	c.fed = max(c.fed, at)
	seg := protocol.Segment{Side: sd, Data: data, Fresh: len(data), Begun: c.fed, Now: c.fed, Started: started}
	if len(s.buf) > 0 {
		if !e.fits(s, len(data)) {
			e.lose(c, sd, 0, bufferFull)
		} else {
			e.keep(s, data)
			seg.Data, seg.Begun = s.buf, s.begun
		}
	}
	seg.Offset = s.base
	e.cur, c.touched = c, true
	got := c.parser.Feed(seg, e.emit)
	e.account(c)
	if got.End == "" || got.End == protocol.UpgradedH2C {
		e.consume(c, &seg, got)
	}
	if got.End != "" {
		e.end(c, sd, got.End)
	}
	e.handOut()
}

// consume moves the side over what the Conn took of the segment.
func (e *Engine) consume(c *conn, seg *protocol.Segment, got protocol.Progress) {
	s := &c.sides[seg.Side]
	used := min(max(got.Consumed, 0), len(seg.Data))
	rest := seg.Data[used:]
	s.base += uint64(used)
	if used >= len(seg.Data)-seg.Fresh {
		s.begun = seg.Now
	}
	switch {
	case len(rest) == 0:
		e.release(s)
		if got.Skip > 0 {
			s.skip(got.Skip)
			if got.Skip > worthSkip && e.o.Skip != nil {
				e.o.Skip(c.id, seg.Side, s.base)
			}
		}
	case len(s.buf) > 0:
		s.buf = s.buf[:copy(s.buf, rest)]
	case e.fits(s, len(rest)):
		e.keep(s, rest)
	default:
		e.lose(c, seg.Side, uint64(len(rest)), bufferFull)
	}
}

// lose moves the side over n bytes that will never come, and over those before
// them that wait for them.
func (e *Engine) lose(c *conn, sd protocol.Side, n uint64, why lossReason) {
	s := &c.sides[sd]
	waiting := uint64(len(s.buf))
	e.lost[why].Add(int64(n))
	if why == bufferFull {
		e.lost[why].Add(int64(waiting))
	} else {
		e.lost[cut].Add(int64(waiting))
	}
	s.gone = span{s.next(), s.next() + n, "late"}
	s.base += waiting + n
	e.release(s)
	if c.parser != nil {
		c.parser.Lost(sd, waiting+n)
	}
}

// fits says whether n more bytes of the side may be kept.
func (e *Engine) fits(s *side, n int) bool {
	return len(s.buf)+n <= e.o.MaxBuffer && e.buffered.Load()+int64(n) <= e.o.MaxMemory
}

// keep copies bytes behind those that the side keeps.
func (e *Engine) keep(s *side, data []byte) {
	if n := len(e.free); n > 0 && s.buf == nil {
		s.buf, e.free = e.free[n-1], e.free[:n-1]
		e.buffered.Add(int64(cap(s.buf)))
	}
	before := cap(s.buf)
	s.buf = append(s.buf, data...)
	e.buffered.Add(int64(cap(s.buf) - before))
}

// release gives back the buffer of a side.
func (e *Engine) release(s *side) {
	if s.buf == nil {
		return
	}
	e.buffered.Add(-int64(cap(s.buf)))
	if cap(s.buf) <= freeSize && len(e.free) < freeCount {
		e.free = append(e.free, s.buf[:0])
	}
	s.buf = nil
}
