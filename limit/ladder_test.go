package limit

import (
	"testing"
	"time"
)

func cpuAt(share float64) []Use { return []Use{{Name: "cpu_limit", Now: share, Held: share}} }
func memAt(share float64) []Use { return []Use{{Name: "mem_limit", Now: share}} }

// drive decides once a second and returns the level after each.
func drive(l *Ladder, from, seconds int, uses []Use) (levels []int) {
	for i := range seconds {
		l.Decide(uses, time.Unix(int64(from+i), 0))
		levels = append(levels, l.Level())
	}
	return levels
}

// Step by step while it is too much, never beyond the last; back when there is
// room for long enough, one step at a time.
func TestLadder(t *testing.T) {
	l := NewLadder(4)
	got := drive(l, 0, 30, cpuAt(1.5))
	if got[0] != 1 || got[4] != 1 || got[5] != 2 || got[29] != 4 || l.Cause().Name != "cpu_limit" {
		t.Errorf("levels %v", got)
	}
	got = drive(l, 30, 70, cpuAt(0.2))
	if got[14] != 4 || got[15] != 3 || got[19] != 3 || got[20] != 2 || got[30] != 0 || l.Cause().Name != "" {
		t.Errorf("levels %v", got)
	}
}

// Between room and too much, nothing changes.
func TestHysteresis(t *testing.T) {
	l := NewLadder(4)
	drive(l, 0, 1, cpuAt(1.1))
	if got := drive(l, 1, 600, cpuAt(0.9)); got[599] != 1 {
		t.Errorf("level %d", got[599])
	}
}

// A step that had to be taken again stays twice as long.
func TestRelapse(t *testing.T) {
	l := NewLadder(4)
	changes := 0
	level := 0
	for second := range 3600 {
		use := 0.2
		if l.Level() == 0 {
			use = 1.5 // it is too much whenever nothing is left out
		}
		l.Decide(cpuAt(use), time.Unix(int64(second), 0))
		if l.Level() != level {
			level = l.Level()
			changes++
		}
	}
	if changes < 8 || changes > 30 {
		t.Errorf("%d changes in an hour", changes)
	}
}

// Memory acts before the limit is reached, at once.
func TestMemoryActsEarly(t *testing.T) {
	l := NewLadder(4)
	if got := drive(l, 0, 8, memAt(0.95)); got[0] != 1 || got[2] != 2 || got[6] != 4 {
		t.Errorf("levels %v", got)
	}
	l = NewLadder(4)
	if got := drive(l, 0, 8, memAt(0.9)); got[7] != 0 {
		t.Errorf("levels %v below the mark", got)
	}
}

// A limit that a reload took away takes its steps with it.
func TestNoLimitsLeft(t *testing.T) {
	l := NewLadder(4)
	drive(l, 0, 30, cpuAt(2))
	if got := drive(l, 30, 100, nil); got[99] != 0 {
		t.Errorf("level %d", got[99])
	}
}
