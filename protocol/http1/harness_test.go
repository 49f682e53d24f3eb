package http1

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/protocol"
)

// run is bytes that one side sends, in causal order with the other runs.
type run struct {
	side protocol.Side
	data string
}

func cli(format string, args ...any) run { return run{protocol.Client, fmt.Sprintf(format, args...)} }
func srv(format string, args ...any) run { return run{protocol.Server, fmt.Sprintf(format, args...)} }

// wire plays the engine: offsets, held bytes, skips and the clock, which is 1
// for the first piece of the first run, and so on.
type wire struct {
	t    *testing.T
	conn *Conn
	side [2]struct {
		offset uint64 // of the next new byte
		held   []byte
		begun  int64
		skip   uint64
	}
	now     int64
	end     protocol.End
	out     []protocol.Exchange
	maxHeld int
	safe    bool // nothing is lost now
}

func newWire(t *testing.T, o Options, joined bool) *wire {
	return &wire{t: t, conn: New(o).Open(joined).(*Conn)}
}

func (w *wire) emit(e *protocol.Exchange) { w.out = append(w.out, *e) }

// send delivers bytes; started says that they begin a packet.
func (w *wire) send(side protocol.Side, data []byte, started bool) {
	s := &w.side[side]
	if skipped := min(s.skip, uint64(len(data))); skipped > 0 {
		s.skip -= skipped
		s.offset += skipped
		data, started = data[skipped:], false
	}
	if len(data) == 0 || w.end != "" {
		return
	}
	if len(s.held) == 0 {
		s.begun = w.now
	}
	buf := append(append([]byte{}, s.held...), data...)
	p := w.conn.Feed(protocol.Segment{
		Side: side, Offset: s.offset - uint64(len(s.held)), Data: buf, Fresh: len(data),
		Begun: s.begun, Now: w.now, Started: started,
	}, w.emit)
	for i := range buf {
		buf[i] = 'X' // a Conn that keeps fed bytes shows
	}
	if p.Consumed < 0 || p.Consumed > len(buf) || p.Skip > 0 && p.Consumed != len(buf) {
		w.t.Fatalf("consumed %d of %d, skip %d", p.Consumed, len(buf), p.Skip)
	}
	orig := append(append([]byte{}, s.held...), data...)
	if p.Consumed >= len(s.held) {
		s.begun = w.now
	}
	s.held = orig[p.Consumed:]
	w.maxHeld = max(w.maxHeld, len(s.held))
	s.offset += uint64(len(data))
	s.skip, w.end = p.Skip, p.End
}

func (w *wire) lose(side protocol.Side, n uint64) {
	s := &w.side[side]
	skipped := min(s.skip, n)
	s.skip -= skipped
	s.offset += n
	s.held = nil
	if n > skipped {
		w.conn.Lost(side, n-skipped)
	}
}

// play sends the runs in pieces whose sizes cut chooses, and closes.
func play(t *testing.T, o Options, joined bool, runs []run, cut func(left int) int) *wire {
	t.Helper()
	w := newWire(t, o, joined)
	for _, r := range runs {
		w.now++
		for at := 0; at < len(r.data); {
			n := min(max(cut(len(r.data)-at), 1), len(r.data)-at)
			w.send(r.side, []byte(r.data[at:at+n]), at == 0)
			at += n
		}
	}
	w.conn.Close(w.now+1, w.emit)
	return w
}

func whole(left int) int { return left }
func single(int) int     { return 1 }

func random(seed uint64) func(int) int {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(left int) int { return 1 + r.IntN(min(left, 1+r.IntN(40))) }
}

// show is an exchange in one line.
func show(e protocol.Exchange) string {
	s := fmt.Sprintf("%s %s %s host=%s %d req=%d+%d resp=%d t=%d,%d,%d", e.Version, e.Method, e.Path, e.Host, e.Status,
		e.ReqOffset, e.ReqBytes, e.RespBytes, e.Start, e.First, e.End)
	if e.Truncated {
		s += " truncated"
	}
	for _, a := range e.Attrs {
		s += " " + a.Key + "=" + a.Value
	}
	return s
}

func (w *wire) show() string {
	var lines []string
	for _, e := range w.out {
		lines = append(lines, show(e))
	}
	if w.end != "" {
		lines = append(lines, "end "+string(w.end))
	}
	if n := w.conn.Counts(); n != (protocol.Counts{}) {
		lines = append(lines, fmt.Sprintf("orphans=%d dropped=%d", n.Orphans, n.Dropped))
	}
	return strings.Join(lines, "\n")
}
