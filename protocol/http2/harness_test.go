package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"weft/protocol"
)

// run is bytes that one side sends, in causal order with the other runs; a
// lost one is not seen.
type run struct {
	side protocol.Side
	data string
	lost bool
}

func cli(parts ...string) run  { return run{side: protocol.Client, data: strings.Join(parts, "")} }
func srv(parts ...string) run  { return run{side: protocol.Server, data: strings.Join(parts, "")} }
func settings(s string) string { return raw(frameSettings, 0, 0, s) }

// raw is a frame.
func raw(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = binary.BigEndian.AppendUint32(append(b, flags), stream)
	return string(b) + payload
}

// peer encodes header blocks; its table lives as long as it does.
type peer struct {
	buf bytes.Buffer
	enc *hpack.Encoder
}

func newPeer() *peer {
	p := &peer{}
	p.enc = hpack.NewEncoder(&p.buf)
	return p
}

// block encodes "name: value" lines.
func (p *peer) block(lines ...string) string {
	p.buf.Reset()
	for _, l := range lines {
		i := strings.Index(l, ": ")
		p.enc.WriteField(hpack.HeaderField{Name: l[:i], Value: l[i+2:]})
	}
	return p.buf.String()
}

// headers is a HEADERS frame; more flags are added to END_HEADERS.
func (p *peer) headers(stream uint32, flags byte, lines ...string) string {
	return raw(frameHeaders, flagEndHeaders|flags, stream, p.block(lines...))
}

func (p *peer) get(stream uint32, target string) string {
	return p.headers(stream, flagEndStream, ":method: GET", ":path: "+target, ":authority: h")
}

func data(stream uint32, flags byte, size int) string {
	return raw(frameData, flags, stream, strings.Repeat("d", size))
}

// hello is how both sides begin.
func hello() (client, server run) {
	return cli(preface, settings("")), srv(settings(""))
}

// wire plays the engine.
type wire struct {
	t    *testing.T
	conn *Conn
	side [2]struct {
		offset uint64
		held   []byte
		begun  int64
		skip   uint64
	}
	now     int64
	end     protocol.End
	out     []protocol.Exchange
	maxHeld int
}

func (w *wire) emit(e *protocol.Exchange) { w.out = append(w.out, *e) }

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
	all := bytes.Clone(buf)
	p := w.conn.Feed(protocol.Segment{
		Side: side, Offset: s.offset - uint64(len(s.held)), Data: buf, Fresh: len(data),
		Begun: s.begun, Now: w.now, Started: started,
	}, w.emit)
	clear(buf) // a Conn that keeps fed bytes shows
	if p.Consumed < 0 || p.Consumed > len(all) || p.Skip > 0 && p.Consumed != len(all) {
		w.t.Fatalf("consumed %d of %d, skip %d", p.Consumed, len(all), p.Skip)
	}
	if p.Consumed >= len(s.held) {
		s.begun = w.now
	}
	s.held = all[p.Consumed:]
	w.maxHeld = max(w.maxHeld, len(s.held))
	s.offset += uint64(len(data))
	s.skip, w.end = p.Skip, p.End
}

func (w *wire) lose(side protocol.Side, n uint64) {
	s := &w.side[side]
	skipped := min(s.skip, n)
	s.skip -= skipped
	s.offset += n
	if n > skipped {
		s.held = nil
		w.conn.Lost(side, n-skipped)
	}
}

// play sends the runs in pieces whose sizes cut chooses, and closes.
func play(t *testing.T, conn protocol.Conn, runs []run, cut func(left int) int) *wire {
	t.Helper()
	w := &wire{t: t, conn: conn.(*Conn)}
	for _, r := range runs {
		w.now++
		if r.lost {
			w.lose(r.side, uint64(len(r.data)))
			continue
		}
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
	return func(left int) int { return 1 + r.IntN(min(left, 1+r.IntN(60))) }
}

// show is an exchange in one line.
func show(e protocol.Exchange) string {
	s := fmt.Sprintf("%s %d %s %s host=%s %d req=%d+%d resp=%d t=%d,%d,%d", e.Protocol, e.StreamID, e.Method, e.Path,
		e.Host, e.Status, e.ReqOffset, e.ReqBytes, e.RespBytes, e.Start, e.First, e.End)
	if e.GRPC != nil {
		s += fmt.Sprintf(" grpc=%s/%s %d %q", e.GRPC.Service, e.GRPC.Method, e.GRPC.Status, e.GRPC.Message)
	}
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
