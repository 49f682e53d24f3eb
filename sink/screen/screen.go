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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"weft/ledger"
	"weft/record"
)

// headEvery is after how many lines the heading is repeated.
const headEvery = 40

const layout = "%-8s  %-15.15s %7s  %-4s %s\n"

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
		what := describe(&shown[i])
		if what == "" {
			s.stage.Drop("not_shown", 1)
			continue
		}
		s.line(&shown[i], what)
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

func (s *Sink) line(p *record.Point, what string) {
	if s.lines%headEvery == 0 {
		fmt.Fprintf(&s.buf, layout, "TIME", "PROCESS", "PID", "", "FLOW")
	}
	s.lines++
	at := time.Unix(0, p.Time).Format("15:04:05")
	kind, name, pid := tag(p, "transport"), tag(p, "process_name"), tag(p, "pid")
	if p.Name != "netflow" {
		kind = strings.TrimSuffix(p.Name, "flow")
	}
	if p.Category.Kind == "logging" {
		name, pid = plain(shownName(p)), text(p, "pid")
	}
	fmt.Fprintf(&s.buf, layout, at, name, pid, kind, what)
}

// describe is what a line says of a point; "" when it has no line.
func describe(p *record.Point) string {
	switch p.Name {
	case "netflow":
		return flow(p)
	case "httpflow":
		status := strconv.FormatInt(field(p, "status_code"), 10)
		if status == "0" {
			status = "no answer"
		}
		return fmt.Sprintf("%s  %d × %s %s → %s  %s", ends(p), field(p, "count"), text(p, "method"), text(p, "path"),
			status, lasting(p))
	case "dnsflow":
		outcome := "rcode " + strconv.FormatInt(field(p, "rcode"), 10)
		if field(p, "rcode") < 0 {
			outcome = "no answer"
		}
		return fmt.Sprintf("%s  %d × %s %s → %s  %s", ends(p), field(p, "count"), text(p, "qtype"), text(p, "query"),
			outcome, lasting(p))
	case "tlsflow":
		return fmt.Sprintf("%s  %d × %s  TLS %s %s", ends(p), field(p, "count"), text(p, "sni"), text(p, "tls_version"),
			text(p, "alpn"))
	case "bash":
		return plain(text(p, "user") + " $ " + text(p, "cmd"))
	case "exec":
		return plain(program(p))
	default:
		return ""
	}
}

// shownName is the name of the program that a record is about.
func shownName(p *record.Point) string {
	if exe := text(p, "exe"); exe != "" {
		return filepath.Base(exe)
	}
	return p.Name
}

// program is who did what, and how it ended.
func program(p *record.Point) string {
	out := text(p, "user") + "  " + tag(p, "event") + "  " + text(p, "cmd")
	if tag(p, "event") == "exit" {
		out += fmt.Sprintf("  → %d  %s", field(p, "exit_code"), time.Duration(field(p, "duration")).Round(time.Microsecond))
	}
	return out
}

// plain keeps what commands hold from the terminal: newlines and escapes.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
}

// lasting is the mean latency.
func lasting(p *record.Point) string {
	return time.Duration(field(p, "latency")).Round(time.Microsecond).String()
}

// ends is the local end, an arrow from who opened it, and the remote end.
func ends(p *record.Point) string {
	arrow := "→"
	if tag(p, "direction") == "incoming" {
		arrow = "←"
	}
	return fmt.Sprintf("%-21s %s %-21s", end(p, "src"), arrow, end(p, "dst"))
}

// flow is `client → server  received, sent, round trip, connections`.
func flow(p *record.Point) string {
	out := fmt.Sprintf("%s  read %-7s wrote %-7s", ends(p), size(field(p, "bytes_read")), size(field(p, "bytes_written")))
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

func text(p *record.Point, key string) string {
	for i := range p.Fields {
		if v, ok := p.Fields[i].Value.(string); ok && p.Fields[i].Key == key {
			return v
		}
	}
	return ""
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
