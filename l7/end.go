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

// close ends the Conn: what waits for an answer leaves.
func (e *Engine) close(c *conn, at int64) {
	e.cur = c
	c.parser.Close(max(at, c.fed), e.emit)
	e.account(c)
	c.given = protocol.Counts{}
	e.handOut()
}

// kill makes the connection cost nothing more. The entry stays until Close, so
// that later chunks are known to be of no interest.
func (e *Engine) kill(c *conn, why protocol.End, reason string) {
	e.connections.Drop(reason, 1)
	e.unholdAll(c, reason)
	for i := range c.sides {
		e.release(&c.sides[i])
	}
	*c = conn{id: c.id, dead: true, listed: c.listed, seen: c.seen, older: c.older, newer: c.newer}
	e.live.Add(-1)
	e.ignored.Add(1)
	if e.o.Ended != nil {
		e.o.Ended(c.id, why)
	}
}
