package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const wholeReport = `=VM= note mounting x: no such device
=VM= up 6.1.0-50-cloud-amd64 1410
=VM= begin weft/a
=== RUN   TestA
=VM= note loading module y: invalid
--- PASS: TestA (0.00s)
PASS
=VM= end weft/a 0 20
=VM= begin weft/b
unfinished line
=VM= end weft/b 2 1500
=VM= done
`

func TestParseReport(t *testing.T) {
	r := parseReport(wholeReport)
	if r.release != "6.1.0-50-cloud-amd64" || r.boot != 1410*time.Millisecond || !r.done {
		t.Errorf("got %+v", r)
	}
	if !slices.Equal(r.notes, []string{"mounting x: no such device", "loading module y: invalid"}) {
		t.Errorf("notes %q", r.notes)
	}
	want := []part{
		{"weft/a", "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n", 0, 20 * time.Millisecond},
		{"weft/b", "unfinished line\n", 2, 1500 * time.Millisecond},
	}
	if !slices.Equal(r.parts, want) {
		t.Errorf("parts %+v", r.parts)
	}
}

// A kernel may die after any byte.
func TestParseReportCutAnywhere(t *testing.T) {
	for i := range wholeReport {
		r := parseReport(wholeReport[:i])
		if r.done && i < len(wholeReport)-1 {
			t.Errorf("cut at %d: done", i)
		}
		ended := strings.Contains(wholeReport[:i], "=VM= end weft/b 2 1500")
		if len(r.parts) == 2 && r.parts[1].exit != -1 && !ended && !strings.Contains(wholeReport[:i], "end weft/b 2 ") {
			t.Errorf("cut at %d: exit %d", i, r.parts[1].exit)
		}
	}
}

func TestComplaint(t *testing.T) {
	for _, c := range []struct{ console, want string }{
		{"[ 6.8] sysrq: Resetting\n", ""},
		{"x\r\n[ 1.0] BUG: kernel NULL pointer dereference\r\nmore\n", "[ 1.0] BUG: kernel NULL pointer dereference"},
		{"[ 1.0] Kernel panic - not syncing\n", "[ 1.0] Kernel panic - not syncing"},
	} {
		if got := complaint(c.console); got != c.want {
			t.Errorf("%q: got %q", c.console, got)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(wholeReport)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range parseReport(text).parts {
			if p.pkg == "" {
				t.Errorf("a part without a package from %q", text)
			}
		}
	})
}
