// Package selection decides which processes' payload is looked at, by lists of
// rules. It stands between the payload sources and l7.
package selection

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"weft/ledger"
)

const (
	// maxEntries bounds the cache of decisions.
	maxEntries = 16384
	// recheck is how long a decision holds without a look whether the pid still
	// belongs to the same program.
	recheck = time.Second
	// rejudge is how long a decision holds for the same program: a process may
	// change its user, cgroup and title without a trace in its stat.
	rejudge = 15 * time.Second
	// lately is what Selected goes back.
	lately = time.Minute
)

// Selector tells which processes are looked at. It is safe for concurrent use.
type Selector struct {
	proc  string
	self  uint32
	now   func() time.Duration
	rules atomic.Pointer[Rules]
	// decisions counts judgements, unknown those that lacked a fact.
	decisions, unknown atomic.Int64

	mu    sync.Mutex
	known map[key]*list.Element // of *decision
	order *list.List            // last checked first: at most a second behind last used
}

// key: the comm is in it because it changes with exec, sooner than we would
// look, and because threads have one each.
type key struct {
	pid  uint32
	comm string
}

type decision struct {
	key   key
	rules *Rules // by which it was made
	image image  // of which it was made; zero when that was gone already
	// unsure: a rule that could have changed the outcome lacked a fact.
	wanted, unsure  bool
	judged, checked time.Duration
}

// New returns a selector that reads below hostProc, normally /proc, or
// HOST_PROC in a container that mounts the machine's /proc elsewhere. self is
// the collector's own process as hostProc and the kernel number it: what
// HOST_PROC/self points to, which in a container need not be os.Getpid.
func New(hostProc string, r Rules, self int) *Selector {
	begun := time.Now()
	s := &Selector{
		proc: hostProc, self: uint32(self), now: func() time.Duration { return time.Since(begun) },
		known: map[key]*list.Element{}, order: list.New(),
	}
	s.Set(r)
	return s
}

// Set changes the rules. Every process is judged anew when it is next seen.
func (s *Selector) Set(r Rules) { s.rules.Store(&r) }

// Wanted tells whether the process is looked at. Deny rules win; with allow
// rules only those that match are looked at, without any all are. The
// collector itself never is. comm is the kernel's name of the process (15
// bytes), which is all that is known of one that has gone.
//
// A rule that lacks its fact, because the process has gone or may not be read,
// does not match, in either list. Such decisions are counted when they could
// have been others (selection_unknown_total).
//
// A decision holds for the process's life, but is made anew within a second
// after an exec or when the pid is another process's, and within 15 s after a
// change of user, cgroup or title.
func (s *Selector) Wanted(pid uint32, comm string) bool {
	if pid == s.self {
		return false
	}
	rules := s.rules.Load()
	if rules.empty() {
		return true
	}
	k, now := key{pid, comm}, s.now()
	old := s.recall(k)
	known := old.rules == rules
	if known && now-old.checked < recheck {
		return old.wanted
	}
	// Not under the lock: reading /proc can take long.
	d := s.decide(k, rules, old, known, now)
	d.checked = now
	s.keep(d)
	return d.wanted
}

// recall returns what was decided, or the zero decision.
func (s *Selector) recall(k key) decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.known[k]; el != nil {
		return *el.Value.(*decision)
	}
	return decision{}
}

func (s *Selector) keep(d decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.known[d.key]; el != nil {
		*el.Value.(*decision) = d
		s.order.MoveToFront(el)
		return
	}
	if len(s.known) >= maxEntries {
		last := s.order.Back()
		delete(s.known, last.Value.(*decision).key)
		s.order.Remove(last)
	}
	s.known[d.key] = s.order.PushFront(&d)
}

// decide returns the old decision if it was made by these rules (known) and
// holds for what the pid is now, else a new one.
func (s *Selector) decide(k key, rules *Rules, old decision, known bool, now time.Duration) decision {
	f := look(s.proc, k.pid, k.comm)
	switch {
	case known && f.gone:
		return old
	case known && !old.unsure && f.image == old.image && now-old.judged < rejudge:
		return old
	}
	d := decision{key: k, rules: rules, image: f.image, judged: now}
	d.wanted, d.unsure = rules.judge(f)
	s.decisions.Add(1)
	if d.unsure && !(known && old.unsure && f.image == old.image) {
		s.unknown.Add(1)
	}
	return d
}

// Selected is how many processes were seen in the last minute and are looked
// at by the rules. Without rules nothing is decided, and it is 0.
func (s *Selector) Selected() int { return s.seen(true) }

func (s *Selector) seen(wanted bool) int {
	since, rules, pids := s.now()-lately, s.rules.Load(), map[uint32]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for el := s.order.Front(); el != nil; el = el.Next() {
		d := el.Value.(*decision)
		if d.checked < since {
			break // so are all behind it
		}
		if d.rules == rules && d.wanted == wanted {
			pids[d.key.pid] = true
		}
	}
	return len(pids)
}

// Gauges are the selector's counters for ledger.AddGauge.
func (s *Selector) Gauges() []ledger.Gauge {
	const help = "Processes seen in the last minute, by what the rules decided."
	return []ledger.Gauge{{
		Name: "selection_processes", Help: help, Labels: []string{"wanted", "true"},
		Read: func() float64 { return float64(s.seen(true)) },
	}, {
		Name: "selection_processes", Help: help, Labels: []string{"wanted", "false"},
		Read: func() float64 { return float64(s.seen(false)) },
	}, {
		Name: "selection_decisions_total", Help: "Judgements of a process by the rules.",
		Read: func() float64 { return float64(s.decisions.Load()) },
	}, {
		Name: "selection_unknown_total",
		Help: "Judgements that lacked a fact which could have changed them: the process had gone or was not readable.",
		Read: func() float64 { return float64(s.unknown.Load()) },
	}}
}
