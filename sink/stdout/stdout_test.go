package stdout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"weft/ledger"
	"weft/record"
	"weft/sink"
)

var _ sink.Sink = (*Sink)(nil)

func points(n int) []record.Point {
	out := make([]record.Point, n)
	for i := range out {
		out[i] = record.Point{
			Name: "netflow", Time: int64(i), Tags: []record.Tag{{Key: "pad", Value: strings.Repeat("x", 200)}},
		}
	}
	return out
}

func counts(t *testing.T, l *ledger.Ledger, in, out int64, dropped map[string]int64) {
	t.Helper()
	c := l.Snapshot()[0]
	if c.In != in || c.Out != out || len(c.Dropped) != len(dropped) {
		t.Errorf("got in %d out %d dropped %v, want %d %d %v", c.In, c.Out, c.Dropped, in, out, dropped)
	}
	for r, n := range dropped {
		if c.Dropped[r] != n {
			t.Errorf("dropped %s: got %d, want %d", r, c.Dropped[r], n)
		}
	}
}

func TestWriteFlushesEachBatch(t *testing.T) {
	var b bytes.Buffer
	l := ledger.New()
	s := New(&b, l.Stage("stdout"))
	total := 0
	for _, n := range []int{1, 0, 5000, 2} {
		if err := s.Write(t.Context(), points(n)); err != nil {
			t.Fatal(err)
		}
		total += n
		if got := strings.Count(b.String(), "\n"); got != total {
			t.Fatalf("after %d points the writer has %d lines", total, got)
		}
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if !json.Valid([]byte(line)) {
			t.Fatalf("line %d: %s", i, line)
		}
	}
	counts(t, l, int64(total), int64(total), nil)
}

func TestBrokenPipeIsReportedOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l := ledger.New()
	s := New(w, l.Stage("stdout"))
	if err := s.Write(context.Background(), points(3)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := s.Write(context.Background(), points(4)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
	if err := s.Write(context.Background(), points(5)); err != nil {
		t.Errorf("reported again: %v", err)
	}
	counts(t, l, 12, 3, map[string]int64{"broken_pipe": 9})
}

// choke takes limit bytes, fails once with ENOSPC, and then takes everything.
type choke struct {
	bytes.Buffer
	limit int
}

func (c *choke) Write(b []byte) (int, error) {
	if c.limit < 0 || len(b) <= c.limit {
		return c.Buffer.Write(b)
	}
	n, _ := c.Buffer.Write(b[:c.limit])
	c.limit = -1
	return n, syscall.ENOSPC
}

func TestShortWriteCountsWholeLinesAndSpoilsOne(t *testing.T) {
	line := len(`{"name":"netflow","time":0,"tags":{"pad":"`) + 200 + len("\"},\"fields\":{}}\n")
	for _, cut := range []int{0, 10, line, line + 10} {
		w := &choke{limit: cut}
		l := ledger.New()
		s := New(w, l.Stage("stdout"))
		if err := s.Write(t.Context(), points(3)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("cut %d: got %v", cut, err)
		}
		if err := s.Write(t.Context(), points(2)); err != nil {
			t.Fatal(err)
		}
		valid := int64(0)
		for got := range strings.Lines(w.String()) {
			if json.Valid([]byte(got)) {
				valid++
			}
		}
		whole := int64(cut / line)
		if valid != whole+2 {
			t.Errorf("cut %d: %d good lines", cut, valid)
		}
		counts(t, l, 5, whole+2, map[string]int64{"write_error": 3 - whole})
	}
}
