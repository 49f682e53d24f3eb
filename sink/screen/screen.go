// Package screen is the sink that writes a line of text for each flow, for a
// person who watches a terminal. It shows the columns that fit; whoever wants
// every tag and field takes the stdout sink.
package screen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"weft/ledger"
	"weft/record"
)

// headEvery is after how many lines the heading is repeated.
const headEvery = 40

const layout = "%-8s  %-15.15s %7s  %-3s  %s\n"

// Sink writes to one terminal. Not safe for concurrent use.
type Sink struct {
	w     io.Writer
	stage *ledger.Stage
	lines int
	buf   bytes.Buffer
}

// New returns a sink on w that counts points in stage.
func New(w io.Writer, stage *ledger.Stage) *Sink { return &Sink{w: w, stage: stage} }

// Write shows the batch, most bytes first. Points of measurements that it has
// no columns for are dropped as not_shown.
func (s *Sink) Write(_ context.Context, batch []record.Point) error {
	s.stage.In(int64(len(batch)))
	shown := slices.Clone(batch)
	slices.SortStableFunc(shown, func(a, b record.Point) int { return int(bytesOf(&b) - bytesOf(&a)) })
	n := 0
	for i := range shown {
		if shown[i].Name != "netflow" {
			s.stage.Drop("not_shown", 1)
			continue
		}
		s.line(&shown[i])
		n++
	}
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if err != nil {
		s.stage.Drop("write_error", int64(n))
		return fmt.Errorf("write to the screen: %w", err)
	}
	s.stage.Out(int64(n))
	return nil
}

func (s *Sink) line(p *record.Point) {
	if s.lines%headEvery == 0 {
		fmt.Fprintf(&s.buf, layout, "TIME", "PROCESS", "PID", "", "FLOW")
	}
	s.lines++
	at := time.Unix(0, p.Time).Format("15:04:05")
	fmt.Fprintf(&s.buf, layout, at, tag(p, "process_name"), tag(p, "pid"), tag(p, "transport"), flow(p))
}

// flow is `client → server  received, sent, round trip, connections`, with the
// local end first and the arrow pointing from who opened it.
func flow(p *record.Point) string {
	arrow := "→"
	if tag(p, "direction") == "incoming" {
		arrow = "←"
	}
	out := fmt.Sprintf("%-21s %s %-21s  read %-7s wrote %-7s", end(p, "src"), arrow, end(p, "dst"),
		size(field(p, "bytes_read")), size(field(p, "bytes_written")))
	if rtt := field(p, "rtt"); rtt > 0 {
		out += "  rtt " + (time.Duration(rtt) * time.Microsecond).String()
	}
	for _, c := range []struct{ key, word string }{
		{"tcp_established", "opened"}, {"tcp_closed", "closed"},
		{"retransmits", "retransmitted"}, {"tcp_connect_failed", "failed"},
	} {
		if n := field(p, c.key); n > 0 {
			out += "  " + strconv.FormatInt(n, 10) + " " + c.word
		}
	}
	if e := tag(p, "connect_error"); e != "" {
		out += " (" + e + ")"
	}
	return out
}

func end(p *record.Point, side string) string {
	return net.JoinHostPort(tag(p, side+"_ip"), tag(p, side+"_port"))
}

func tag(p *record.Point, key string) string {
	for i := range p.Tags {
		if p.Tags[i].Key == key {
			return p.Tags[i].Value
		}
	}
	return ""
}

func field(p *record.Point, key string) int64 {
	for i := range p.Fields {
		if n, ok := p.Fields[i].Value.(int64); ok && p.Fields[i].Key == key {
			return n
		}
	}
	return 0
}

func bytesOf(p *record.Point) int64 { return field(p, "bytes_read") + field(p, "bytes_written") }

// size is a byte count in at most six characters.
func size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return strconv.FormatInt(n, 10) + "B"
	}
	f, i := float64(n)/1000, 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + units[i]
}

// Close has nothing to flush: every Write did.
func (s *Sink) Close(context.Context) error { return nil }
