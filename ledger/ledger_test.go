package ledger

import "testing"

func TestSnapshotCountsEveryStage(t *testing.T) {
	l := New()
	s := l.Stage("b")
	s.In(5)
	s.Out(3)
	s.Drop("full", 2)
	l.Stage("a").SetDropped("late", 7)
	got := l.Snapshot()
	if len(got) != 2 || got[0].Stage != "a" || got[1].Stage != "b" {
		t.Fatalf("stages %+v, want a and b", got)
	}
	if got[0].Dropped["late"] != 7 || got[1].In != 5 || got[1].Out != 3 || got[1].Dropped["full"] != 2 {
		t.Errorf("counts %+v", got)
	}
	if l.Stage("b") != s {
		t.Error("a stage of the same name is another one")
	}
}

func TestAddGaugeReplacesItsLikes(t *testing.T) {
	l := New()
	read := func(v float64) func() float64 { return func() float64 { return v } }
	l.AddGauge(Gauge{Name: "n", Labels: []string{"map", "a"}, Read: read(1)})
	l.AddGauge(Gauge{Name: "n", Labels: []string{"map", "b"}, Read: read(2)})
	l.AddGauge(Gauge{Name: "n", Labels: []string{"map", "a"}, Read: read(3)})
	g := l.Gauges()
	if len(g) != 2 || g[0].Read() != 3 || g[1].Read() != 2 {
		t.Errorf("%d gauges, want the first one replaced", len(g))
	}
}
