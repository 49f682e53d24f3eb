// Package ledger counts what every stage took in, gave out and dropped, and
// why, so that nothing is lost silently. Each stage owns one Stage; the web
// server and the tests read them all from one Ledger. Leaf package.
package ledger

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Stage is the ledger of one stage. All methods are safe for concurrent use.
type Stage struct {
	name    string
	in, out atomic.Int64
	mu      sync.Mutex
	dropped map[string]*atomic.Int64
}

// In counts n items that the stage took in.
func (s *Stage) In(n int64) { s.in.Add(n) }

// Out counts n items that the stage gave to the next one.
func (s *Stage) Out(n int64) { s.out.Add(n) }

// Drop counts n items that the stage dropped for the reason, a short
// snake_case word such as "queue_full".
func (s *Stage) Drop(reason string, n int64) { s.reason(reason).Add(n) }

// SetDropped sets the running total of a reason that is counted elsewhere,
// e.g. in a BPF map.
func (s *Stage) SetDropped(reason string, total int64) { s.reason(reason).Store(total) }

// SetIn and SetOut set running totals that are counted elsewhere.
func (s *Stage) SetIn(total int64) { s.in.Store(total) }

// SetOut sets the running total of items given on, counted elsewhere.
func (s *Stage) SetOut(total int64) { s.out.Store(total) }

func (s *Stage) reason(r string) *atomic.Int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.dropped[r]
	if c == nil {
		c = new(atomic.Int64)
		s.dropped[r] = c
	}
	return c
}

// StageCounts is a stage's counters at one moment.
type StageCounts struct {
	Stage   string           `json:"stage"`
	In      int64            `json:"in"`
	Out     int64            `json:"out"`
	Dropped map[string]int64 `json:"dropped"`
}

// Gauge is a value read at scrape time: map fill, program runs, queue length.
type Gauge struct {
	// Name is the metric's name without the weft_ prefix, e.g.
	// "bpf_map_entries". A name that ends in _total is a counter.
	Name, Help string
	// Labels come in pairs: name, value, name, value, …
	Labels []string
	Read   func() float64
}

// Ledger is the set of all stages and gauges of one process.
type Ledger struct {
	mu     sync.Mutex
	stages map[string]*Stage
	gauges []Gauge
}

// New returns an empty ledger.
func New() *Ledger { return &Ledger{stages: map[string]*Stage{}} }

// Stage returns the stage of that name, made at first use.
func (l *Ledger) Stage(name string) *Stage {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stages[name]
	if s == nil {
		s = &Stage{name: name, dropped: map[string]*atomic.Int64{}}
		l.stages[name] = s
	}
	return s
}

// AddGauge adds gauges that /metrics will read at each scrape. One of the same
// name and labels is replaced: a part that was built anew reads its own values.
func (l *Ledger) AddGauge(gauges ...Gauge) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range gauges {
		i := slices.IndexFunc(l.gauges, func(have Gauge) bool {
			return have.Name == g.Name && slices.Equal(have.Labels, g.Labels)
		})
		if i >= 0 {
			l.gauges[i] = g
			continue
		}
		l.gauges = append(l.gauges, g)
	}
}

// Gauges returns all gauges added so far.
func (l *Ledger) Gauges() []Gauge {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Gauge(nil), l.gauges...)
}

// Snapshot returns the counters of all stages, sorted by name.
func (l *Ledger) Snapshot() []StageCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]StageCounts, 0, len(l.stages))
	for _, s := range l.stages {
		c := StageCounts{Stage: s.name, In: s.in.Load(), Out: s.out.Load(), Dropped: map[string]int64{}}
		s.mu.Lock()
		for r, n := range s.dropped {
			c.Dropped[r] = n.Load()
		}
		s.mu.Unlock()
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Stage < out[j].Stage })
	return out
}
