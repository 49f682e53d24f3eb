package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fill makes a closed spool of ten messages in one segment and returns the
// segment's path.
func fill(t *testing.T, dir string) string {
	t.Helper()
	s, _ := open(t, dir, 1<<20, 1<<16)
	add(t, s, 0, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	return names[0]
}

func TestDamage(t *testing.T) {
	at := func(i int) (off int64) {
		for j := range i {
			off += frameSize(message(j))
		}
		return off
	}
	flip := func(off int64) func(*testing.T, []byte) []byte {
		return func(_ *testing.T, b []byte) []byte { b[off] ^= 0x40; return b }
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, []byte) []byte
		want   []int
		lost   int
	}{
		"torn tail":   {func(_ *testing.T, b []byte) []byte { return b[:len(b)-5] }, seq(0, 9), 1},
		"torn header": {func(_ *testing.T, b []byte) []byte { return b[:at(9)+7] }, seq(0, 9), 1},
		"body bit":    {flip(at(4) + 50), append(seq(0, 4), seq(5, 10)...), 1},
		"length bit":  {flip(at(4) + 6), append(seq(0, 4), seq(5, 10)...), 1},
		"items bit":   {flip(at(0) + 8), seq(1, 10), 1},
		"magic bit":   {flip(at(9)), seq(0, 9), 1},
		"two regions": {func(t *testing.T, b []byte) []byte {
			return flip(at(2)+30)(t, flip(at(7)+30)(t, b))
		}, []int{0, 1, 3, 4, 5, 6, 8, 9}, 2},
		"zeroed end":   {func(_ *testing.T, b []byte) []byte { clear(b[at(6)+3:]); return b }, seq(0, 6), 1},
		"garbage":      {func(_ *testing.T, b []byte) []byte { return []byte(strings.Repeat("WSP1WSPW", 99)) }, nil, 1},
		"emptied file": {func(*testing.T, []byte) []byte { return nil }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := fill(t, dir)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, c.damage(t, b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, l := open(t, dir, 1<<20, 1<<16)
			in := s.Stats().Items
			add(t, s, 10, 12)
			in += message(10).Items + message(11).Items
			got := take(t, s, 100)
			expect(t, got, append(c.want, 10, 11))
			out := 0
			for _, i := range got {
				out += message(i).Items
			}
			if l[Corrupt] != c.lost || in != out+c.lost {
				t.Errorf("in %d, out %d, lost %v, want %d lost", in, out, l, c.lost)
			}
		})
	}
}

func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s, l := open(t, dir, 1<<20, 1<<16)
	add(t, s, 0, 5)
	names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err := os.Truncate(names[0], 2*frameSize(message(0))); err != nil {
		t.Fatal(err)
	}
	got := take(t, s, 9)
	expect(t, got, []int{0})
	if want := 2 + 3 + 4 + 5; l[Corrupt] != want {
		t.Errorf("lost %v, want %d", l, want)
	}
}

func TestDamagedCursorRepeatsButLosesNothing(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	s, _ := open(t, dir, 1<<20, 1<<16)
	take(t, s, 3)
	_ = s.Close()
	path := filepath.Join(dir, "cursor")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newest := 1 // three saves: the third is in slot 1
	b[newest*slotSize+20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir, 1<<20, 1<<16)
	expect(t, take(t, s, 99), seq(2, 10))
}

// fullDisk takes room bytes and then fails as a full disk does.
type fullDisk struct {
	*os.File
	room *int
}

func (d fullDisk) Write(b []byte) (int, error) {
	if len(b) <= *d.room {
		*d.room -= len(b)
		return d.File.Write(b)
	}
	n, _ := d.File.Write(b[:*d.room])
	*d.room = 0
	return n, syscall.ENOSPC
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s, l := open(t, dir, 1<<20, 450)
	room := 1000
	s.create = func(path string) (writer, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		return fullDisk{f, &room}, err
	}
	var taken []int
	for i := range 40 {
		if i == 20 {
			room = 1 << 20
		}
		switch err := s.Append(message(i)); {
		case err == nil:
			taken = append(taken, i)
		case !errors.Is(err, syscall.ENOSPC):
			t.Fatal(err)
		}
	}
	if len(taken) < 25 || len(taken) > 35 {
		t.Fatalf("took %v", taken)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l2 := open(t, dir, 1<<20, 450)
	expect(t, take(t, s, 99), taken)
	if len(l)+len(l2) != 0 {
		t.Errorf("lost %v %v", l, l2)
	}
}

// TestKilled kills children that append and acknowledge, and checks that what
// was kept comes out in order and once, but for the message a child died on.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("SPOOL_CHILD"); dir != "" {
		child(t, dir)
	}
	dir := t.TempDir()
	j := &journal{kept: map[int]bool{}, last: -1}
	for range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=TestKilled")
		cmd.Env = append(os.Environ(), "SPOOL_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() { _ = cmd.Process.Kill() })
		j.follow(t, out)
		_ = cmd.Wait()
	}
	s, l := open(t, dir, 1<<20, 2000)
	for m, ok := s.Next(); ok; m, ok = s.Next() {
		j.sent(t, string(m.Body))
		_ = s.Ack()
	}
	if len(j.kept) != 0 || l[Full] != 0 {
		t.Errorf("kept but never sent: %v; lost %v", j.kept, l)
	}
	t.Logf("%d messages over five kills, %d sent again", j.last+1, j.again)
}

// child appends two messages for each that it takes, and says so after each
// step. Numbers go on where the last child's ended, and are never used twice.
func child(t *testing.T, dir string) {
	s, _ := open(t, dir, 1<<20, 2000)
	state, _ := os.ReadFile(dir + ".next")
	n := 0
	_, _ = fmt.Sscanf(string(state), "%d", &n)
	for {
		for i := 0; i < 2 && s.Stats().Messages < 50; i++ {
			_ = os.WriteFile(dir+".tmp", fmt.Appendf(nil, "%d", n+1), 0o600)
			_ = os.Rename(dir+".tmp", dir+".next")
			if err := s.Append(Message{Body: fmt.Appendf(nil, "%d", n), Items: 1}); err != nil {
				panic(err)
			}
			fmt.Printf("kept %d\n", n)
			n++
		}
		m, _ := s.Next()
		fmt.Printf("sent %s\n", m.Body)
		if err := s.Ack(); err != nil {
			panic(err)
		}
	}
}

// journal is what the children said.
type journal struct {
	kept        map[int]bool // and not sent yet
	last, again int
	fresh       bool // the next message is a process's first
}

func (j *journal) follow(t *testing.T, out io.Reader) {
	j.fresh = true
	for sc := bufio.NewScanner(out); sc.Scan(); {
		word, number, _ := strings.Cut(sc.Text(), " ")
		switch word {
		case "kept":
			n, _ := strconv.Atoi(number)
			j.kept[n] = true
		case "sent":
			j.sent(t, number)
		}
	}
	j.fresh = true
}

func (j *journal) sent(t *testing.T, number string) {
	t.Helper()
	n, err := strconv.Atoi(number)
	switch {
	case err != nil:
		t.Errorf("message %q", number)
	case n == j.last && j.fresh:
		j.again++
	case n <= j.last:
		t.Errorf("%d came after %d", n, j.last)
	}
	j.last, j.fresh = n, false
	delete(j.kept, n)
}

func FuzzOpen(f *testing.F) {
	frame := appendFrame(nil, message(3))
	f.Add(frame, frame[:32])
	f.Add(append(append([]byte("junk"), frame...), frame[:20]...), []byte{})
	f.Fuzz(func(t *testing.T, segment, cursorFile []byte) {
		dir := t.TempDir()
		_ = os.WriteFile(filepath.Join(dir, "0000000000000001"+suffix), segment, 0o600)
		_ = os.WriteFile(filepath.Join(dir, "cursor"), cursorFile, 0o600)
		s, l := open(t, dir, 1<<20, 1000)
		in, out := s.Stats().Items, 0
		for {
			m, ok := s.Next()
			if !ok {
				break
			}
			out += m.Items
			if err := s.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if in != out+l[Corrupt] {
			t.Errorf("in %d, out %d, lost %v", in, out, l)
		}
		if err := s.Append(message(1)); err != nil {
			t.Fatal(err)
		}
		expect(t, take(t, s, 2), []int{1})
	})
}
