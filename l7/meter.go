package l7

import (
	"sync/atomic"

	"weft/ledger"
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
	for r := range lossReasons {
		gauge("l7_lost_bytes_total", "Payload that no protocol saw, bodies that none wanted aside.",
			&e.lost[r], "reason", r.String())
	}
}
