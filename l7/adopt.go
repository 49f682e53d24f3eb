package l7

import "weft/protocol"

// adopter is a Conn that takes over a request that it has not parsed itself.
type adopter interface {
	Adopt(request *protocol.Exchange)
}

// upgrader is the protocol "http2": it opens a connection whose first request
// came over HTTP/1.1 (RFC 7540 section 3.2).
type upgrader interface {
	Upgraded(first *protocol.Exchange) protocol.Conn
}

// From tells, before Pending, at which offsets both sides go on: what is missing
// from there on is lost.
func (e *Engine) From(id ConnID, client, server uint64) {
	if c := e.conns[id]; c != nil {
		c.from = &[2]uint64{client, server}
	}
}

// Pending hands over a request that was seen elsewhere (by the kernel's fast
// path) and still waits for its response. It settles the protocol of the
// connection; each side goes on where From says, else at its next chunk, wherever
// that begins. A Conn that was fed before gives way to a new one: what it waits
// for was missed.
func (e *Engine) Pending(id ConnID, request *protocol.Exchange) {
	c := e.conns[id]
	if c == nil {
		e.refuse("unknown_conn")
		return
	}
	p := c.proto
	if p == nil && !c.dead {
		p = e.named(request.Protocol)
	}
	if p == nil || p.Name() != request.Protocol {
		e.refuse("not_adopted")
		return
	}
	if c.touched {
		e.close(c, c.fed)
	}
	c.joined = true
	if c.touched || c.parser == nil {
		c.open(p)
	}
	e.adopt(c, request)
}

// adopt gives the request to a Conn that was not fed, then what is there of the
// response.
func (e *Engine) adopt(c *conn, request *protocol.Exchange) {
	if a, ok := c.parser.(adopter); ok {
		a.Adopt(request)
	} else {
		e.refuse("not_adopted")
	}
	for sd := range protocol.Side(2) {
		s := &c.sides[sd]
		s.known = s.known && len(s.buf)+s.waits > 0
		if c.from != nil && !s.known {
			// Else a loss of the very next bytes would not be noticed.
			s.base, s.known = c.from[sd], true
		}
		if !c.dead {
			e.again(c, sd)
		}
	}
	e.settle(c, e.now)
	c.touched = false // another request may be handed over
}

// refuse counts a pending request that nobody takes over.
func (e *Engine) refuse(why string) {
	e.exchanges.In(1)
	e.exchanges.Drop(why, 1)
}

// upgrade goes on with HTTP/2. The exchange that answered 101 is not over: its
// response comes on stream 1 (RFC 7540 section 3.2), so it is not handed out.
func (e *Engine) upgrade(c *conn, sd protocol.Side) bool {
	p := e.named("http2")
	u, ok := p.(upgrader)
	x := e.last
	if !ok || x == nil || x.Status != 101 && x.Status != 0 {
		return false
	}
	e.last = nil
	e.exchanges.Drop(string(protocol.UpgradedH2C), 1)
	e.close(c, c.fed)
	c.proto, c.parser = p, u.Upgraded(x)
	e.again(c, sd.Peer())
	if !c.dead {
		e.again(c, sd)
	}
	return true
}

// again feeds what the Conn before this one left of a side: it stood where
// something new begins.
func (e *Engine) again(c *conn, sd protocol.Side) {
	s := &c.sides[sd]
	if len(s.buf) == 0 {
		return
	}
	rest := append([]byte(nil), s.buf...)
	e.release(s)
	e.feed(c, sd, rest, s.begun, true)
}
