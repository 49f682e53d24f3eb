package l7

import "weft/protocol"

// take is what a Conn emits to. The newest exchange waits until Feed returns:
// it may turn out to be the one that upgraded the connection.
func (e *Engine) take(x *protocol.Exchange) {
	if x == nil {
		return
	}
	e.exchanges.In(1)
	e.handOut()
	e.last = x
}

func (e *Engine) handOut() {
	x := e.last
	if x == nil {
		return
	}
	e.last = nil
	e.exchanges.Out(1)
	e.o.Out(e.cur.id, &e.cur.info, x)
}

// end does what a Conn wants that has read its last byte.
func (e *Engine) end(c *conn, sd protocol.Side, why protocol.End) {
	if why == protocol.UpgradedH2C && e.upgrade(c, sd) {
		return
	}
	e.handOut()
	e.close(c, c.fed)
	reason := string(why)
	if why == protocol.UpgradedH2C {
		reason = string(protocol.Upgraded)
	}
	e.kill(c, why, reason)
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
	c.proto, c.parser = p, u.Upgraded(x)
	e.again(c, sd.Peer())
	if !c.dead {
		e.again(c, sd)
	}
	return true
}

// again feeds what the Conn before this one left of a side.
func (e *Engine) again(c *conn, sd protocol.Side) {
	s := &c.sides[sd]
	if len(s.buf) == 0 {
		return
	}
	rest := append([]byte(nil), s.buf...)
	e.release(s)
	e.feed(c, sd, rest, s.begun, false)
}

// close ends the Conn: what waits for an answer leaves.
func (e *Engine) close(c *conn, at int64) {
	e.cur = c
	c.parser.Close(max(at, c.fed), e.emit)
	e.handOut()
}

// kill makes the connection cost nothing more. The entry stays until Close, so
// that later chunks are known to be of no interest.
func (e *Engine) kill(c *conn, why protocol.End, reason string) {
	e.connections.Drop(reason, 1)
	e.unholdAll(c, reason)
	for i := range c.sides {
		s := &c.sides[i]
		e.release(s)
	}
	*c = conn{id: c.id, dead: true, listed: c.listed, seen: c.seen, older: c.older, newer: c.newer}
	e.live.Add(-1)
	e.ignored.Add(1)
	if e.o.Ended != nil {
		e.o.Ended(c.id, why)
	}
}
