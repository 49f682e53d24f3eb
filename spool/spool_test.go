package spool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// lost collects what the spool tells.
type lost map[string]int

func (l lost) add(reason string, items int) { l[reason] += items }

func open(t testing.TB, dir string, maxBytes, segment int64) (*Spool, lost) {
	t.Helper()
	l := lost{}
	s, err := Open(Options{Dir: dir, MaxBytes: maxBytes, SegmentBytes: segment, Lost: l.add})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, l
}

func add(t testing.TB, s *Spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Append(message(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// message i has i%7+1 items and a body of about 100 bytes.
func message(i int) Message {
	return Message{Body: fmt.Appendf(nil, "%06d%s", i, strings.Repeat("b", 80+i%20)), Items: i%7 + 1}
}

// take reads and acknowledges up to n messages and returns their numbers.
func take(t testing.TB, s *Spool, n int) []int {
	t.Helper()
	var got []int
	for range n {
		m, ok := s.Next()
		if !ok {
			break
		}
		var i int
		if _, err := fmt.Sscanf(string(m.Body[:6]), "%d", &i); err != nil {
			t.Fatal(err)
		}
		if want := message(i); !reflect.DeepEqual(m, want) {
			t.Fatalf("message %d came back as %+v", i, m)
		}
		if err := s.Ack(); err != nil {
			t.Fatal(err)
		}
		got = append(got, i)
	}
	return got
}

func seq(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func expect(t *testing.T, got, want []int) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOrderAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	next, end := 0, 0
	for round := range 8 {
		s, l := open(t, dir, 1<<20, 1000)
		add(t, s, end, end+25)
		end += 25
		n := 10 + round*5
		got := take(t, s, n)
		expect(t, got, seq(next, next+len(got)))
		next += len(got)
		if st := s.Stats(); st.Messages != end-next {
			t.Fatalf("round %d: %+v, want %d messages", round, st, end-next)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if len(l) != 0 {
			t.Fatalf("lost %v", l)
		}
	}
	if next != end {
		t.Errorf("took %d of %d", next, end)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("an empty spool leaves %v", got)
	}
}

func TestUnacknowledgedComesAgain(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, 1<<20, 1000)
	add(t, s, 0, 3)
	if _, ok := s.Next(); !ok {
		t.Fatal("empty")
	}
	s.Release()
	expect(t, take(t, s, 1), []int{0})
	if _, ok := s.Next(); !ok {
		t.Fatal("empty")
	}
	_ = s.Close()
	s, _ = open(t, dir, 1<<20, 1000)
	expect(t, take(t, s, 9), []int{1, 2})
}

func TestBoundDropsOldestAndTells(t *testing.T) {
	dir := t.TempDir()
	s, l := open(t, dir, 5000, 1000)
	add(t, s, 0, 200)
	st := s.Stats()
	if st.Bytes > 5000 || st.Bytes < 3500 {
		t.Errorf("holds %d bytes", st.Bytes)
	}
	var onDisk int64
	for _, name := range files(t, dir) {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil && strings.HasSuffix(name, suffix) {
			onDisk += fi.Size()
		}
	}
	if onDisk != st.Bytes {
		t.Errorf("%d bytes on disk, %d counted", onDisk, st.Bytes)
	}
	all := 0
	for i := range 200 {
		all += message(i).Items
	}
	if l[Full] != all-st.Items || len(l) != 1 {
		t.Errorf("lost %v, want %d", l, all-st.Items)
	}
	got := take(t, s, 1000)
	expect(t, got, seq(200-len(got), 200))
}

func TestBoundWhileMessageIsOut(t *testing.T) {
	for _, delivered := range []bool{true, false} {
		s, l := open(t, t.TempDir(), 2000, 500)
		add(t, s, 0, 1)
		first, _ := s.Next()
		add(t, s, 1, 100)
		before := l[Full]
		want := before
		if delivered {
			if err := s.Ack(); err != nil {
				t.Fatal(err)
			}
		} else {
			s.Release()
			want += first.Items
		}
		if l[Full] != want {
			t.Errorf("delivered %v: lost %d, want %d", delivered, l[Full], want)
		}
		sum := l[Full] + s.Stats().Items
		if delivered {
			sum += first.Items
		}
		for i := range 100 {
			sum -= message(i).Items
		}
		if sum != 0 {
			t.Errorf("delivered %v: sums differ by %d", delivered, sum)
		}
		got := take(t, s, 1000)
		expect(t, got, seq(100-len(got), 100))
	}
}

func TestTooLarge(t *testing.T) {
	s, l := open(t, t.TempDir(), 1000, 100)
	add(t, s, 0, 2)
	if err := s.Append(Message{Body: bytes.Repeat([]byte("x"), 1000)}); err == nil {
		t.Error("taken")
	}
	if err := s.Append(Message{Body: bytes.Repeat([]byte("x"), 800), Items: 3}); err != nil {
		t.Error(err)
	}
	if want := message(0).Items; l[Full] != want {
		t.Errorf("lost %v, want %d to make room", l, want)
	}
	expect(t, take(t, s, 1), []int{1})
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, 1000, 100)
	if _, err := Open(Options{Dir: dir, MaxBytes: 1000}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	_ = s.Close()
	s2, _ := open(t, dir, 1000, 100)
	add(t, s2, 0, 1)
	if err := s.Append(message(1)); err == nil {
		t.Error("a closed spool takes messages")
	}
}

func BenchmarkAppendAck300KB(b *testing.B) {
	s, _ := open(b, b.TempDir(), 64<<20, 0)
	m := Message{Body: make([]byte, 300<<10), Items: 256}
	b.SetBytes(int64(len(m.Body)))
	for b.Loop() {
		if err := s.Append(m); err != nil {
			b.Fatal(err)
		}
		s.Next()
		if err := s.Ack(); err != nil {
			b.Fatal(err)
		}
	}
}
