package l7

import (
	"sync/atomic"

	"weft/ledger"
	"weft/protocol"
)

// lossReason is why bytes never reached a Conn.
type lossReason uint8

const (
	gap        lossReason = iota // they were in no chunk
	uncaptured                   // a chunk stood for them and did not hold them
	bufferFull                   // there was no room to let them wait
	cut                          // the rest of their message was lost
	unfinished                   // the connection ended before their message did
	lossReasons
)

func (r lossReason) String() string {
	return [lossReasons]string{"gap", "uncaptured", "buffer_full", "cut", "unfinished"}[r]
}

// meter gives the ledger the stages and gauges of the engine.
func (e *Engine) meter(led *ledger.Ledger) {
	e.connections = led.Stage("l7.connections")
	e.chunks = led.Stage("l7.chunks")
	e.exchanges = led.Stage("l7.exchanges")
	gauge := func(name, help string, v *atomic.Int64, labels ...string) {
		led.AddGauge(ledger.Gauge{Name: name, Help: help, Labels: labels,
			Read: func() float64 { return float64(v.Load()) }})
	}
	const help = "Connections whose payload is known: live ones, and those of no interest until they close."
	gauge("l7_connections", help, &e.live, "state", "live")
	gauge("l7_connections", help, &e.ignored, "state", "ignored")
	gauge("l7_buffered_bytes", "Payload that waits, out of order or for the rest of its message.", &e.buffered)
	gauge("l7_repeated_bytes_total", "Payload that came more than once.", &e.repeated)
	gauge("l7_orphan_responses_total", "Responses whose request was not seen, or not for certain.", &e.orphans)
	gauge("l7_dropped_requests_total", "Requests whose response is not certain, or that were too many.", &e.dropped)
	for r := range lossReasons {
		gauge("l7_lost_bytes_total", "Payload that no protocol saw, bodies that none wanted aside.",
			&e.lost[r], "reason", r.String())
	}
}

// account carries what the Conn gave up since the last time into the gauges.
func (e *Engine) account(c *conn) {
	p, ok := c.parser.(interface{ Counts() protocol.Counts })
	if !ok {
		return
	}
	n := p.Counts()
	e.orphans.Add(int64(n.Orphans - c.given.Orphans))
	e.dropped.Add(int64(n.Dropped - c.given.Dropped))
	c.given = n
}
