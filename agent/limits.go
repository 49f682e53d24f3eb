package agent

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/limit"
	"weft/source/conn"
	"weft/web"
)

// How often the collector looks at what it uses. Memory can grow by a tenth of a
// small limit within a second.
const (
	checkEvery    = time.Second
	checkMemEvery = 250 * time.Millisecond
)

// Steps of shedding. Each leaves out its own work and that of those before it.
// netflow stays exact in all of them.
const (
	shedParsed  = iota + 1 // payload that is parsed here, and TLS
	shedHTTP               // HTTP/1, which the kernel counts
	shedSampled            // rows of exchanges are sampled
	shedSlow               // intervals are longer
)

// sheddingRate is the share of exchanges that shedSampled keeps, slowFactor how
// many intervals shedSlow makes one of.
const (
	sheddingRate = 0.1
	slowFactor   = 4
)

// shedNames says what each step leaves out.
func shedNames() []string {
	return []string{
		"payload that is parsed (HTTP/2, pipelined HTTP/1, DNS over TCP, tlsflow) and TLS", "httpflow",
		"nine of ten exchanges (rows carry sampling_rate)", "three of four intervals (rows sum up four)",
	}
}

// LimitError ends a collector with limit_action = exit.
type LimitError struct{ Use limit.Use }

// Error implements error.
func (e LimitError) Error() string {
	return fmt.Sprintf("%s exceeded for %.0fs: %s; ended, as limit_action = exit asks for (degrade goes on with less)",
		e.Use.Name, limit.Window.Seconds(), e.Use.Text)
}

// limits watches what the collector uses.
type limits struct {
	agent  *Agent
	reader *limit.Reader
	watch  limit.Watch
	ladder *limit.Ladder
	failed string // the last error that was logged
	goMost int64  // Go's limit without one of ours
	goNow  int64

	mu    sync.Mutex
	uses  []limit.Use
	taken [shedSlow]int64 // how often each step was taken
	level int
	cause limit.Use
}

func newLimits(a *Agent) *limits {
	l := &limits{agent: a, reader: limit.NewReader(a.cfg.HostProc), ladder: limit.NewLadder(shedSlow),
		goMost: debug.SetMemoryLimit(-1)}
	a.ledger.AddGauge(l.gauges()...)
	return l
}

// run checks until ctx ends. It sends at most one error: a limit that is
// exceeded where that ends the collector.
func (l *limits) run(ctx context.Context, over chan<- error) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-next.C:
			if err := l.check(now); err != nil {
				over <- err
				return
			}
			next.Reset(l.every())
		}
	}
}

func (l *limits) every() time.Duration {
	if l.agent.limits().Mem > 0 {
		return checkMemEvery
	}
	return checkEvery
}

func (l *limits) check(now time.Time) error {
	cfg := l.agent.limits()
	set := limit.Limits{CPU: cfg.CPU, Mem: cfg.Mem, Net: cfg.Net}
	if set == (limit.Limits{}) && l.ladder.Level() == 0 {
		l.watch = limit.Watch{}
		l.boundGo(0, limit.Memory{})
		return nil
	}
	sample, err := l.reader.Read(now)
	if err != nil && err.Error() != l.failed {
		l.failed = err.Error()
		l.agent.log.Error("limits are watched in part", "err", err)
	}
	uses := l.watch.Add(sample, set)
	l.mu.Lock()
	l.uses = uses
	l.mu.Unlock()
	l.boundGo(cfg.Mem, sample.Mem)
	if cfg.Action != "degrade" {
		for _, u := range uses {
			if u.Held > 1 {
				return LimitError{u}
			}
		}
		uses = nil // what a former configuration shed comes back
	}
	if l.ladder.Decide(uses, now) {
		l.step(l.ladder.Level(), l.ladder.Cause())
	}
	return nil
}

// boundGo sets Go's soft limit, in steps, since each change stops the program
// for a moment.
func (l *limits) boundGo(mem int64, used limit.Memory) {
	most := l.goMost
	if mem > 0 {
		most = min(most, goLimit(mem, used)>>20<<20)
	}
	if most != l.goNow {
		l.goNow = most
		debug.SetMemoryLimit(most)
	}
}

// goLimit is what Go's memory may be so that all together stays below 78% of
// the limit: the rest is room for what comes between two collections.
func goLimit(limit int64, m limit.Memory) int64 {
	return max(limit*78/100-m.BPF-m.File, 4<<20)
}

// step carries a decision of the ladder out and tells everybody.
func (l *limits) step(level int, cause limit.Use) {
	a := l.agent
	l.mu.Lock()
	more := level > l.level
	if more {
		l.taken[level-1]++
	}
	l.level, l.cause = level, cause
	l.mu.Unlock()
	a.shed(level)
	debug.FreeOSMemory()
	text := "there is room again"
	if more {
		text = cause.Name + ": " + cause.Text
	}
	if level > 0 {
		text += fmt.Sprintf("; step %d of %d, left out: %s", level, shedSlow, strings.Join(shedNames()[:level], ", "))
	} else {
		text += "; nothing is left out any more"
	}
	a.log.Warn("limits", "step", level, "why", text)
	a.pipe.report("weft: " + text)
}

// again applies the step to sources that a reload has started.
func (l *limits) again() {
	l.mu.Lock()
	level := l.level
	l.mu.Unlock()
	if level > 0 {
		l.agent.shed(level)
	}
}

// state is what /healthz says of it.
func (l *limits) state() *web.Shedding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.level == 0 {
		return nil
	}
	return &web.Shedding{
		Step: l.level, Of: shedSlow, LeftOut: shedNames()[:l.level], Cause: l.cause.Name + ": " + l.cause.Text,
	}
}

func (l *limits) gauges() []ledger.Gauge {
	all := []ledger.Gauge{{
		Name: "limit_step", Help: "Steps of shedding that are taken now: 0 is none, 4 all (limit_action = degrade).",
		Read: func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return float64(l.level)
		},
	}}
	for i, name := range []string{"parsed", "http", "sampled", "slow"} {
		all = append(all, ledger.Gauge{
			Name: "limit_steps_total", Labels: []string{"step", name}, Help: "How often a step of shedding was taken.",
			Read: func() float64 {
				l.mu.Lock()
				defer l.mu.Unlock()
				return float64(l.taken[i])
			},
		})
	}
	for _, name := range []string{"cpu_limit", "mem_limit", "net_limit"} {
		all = append(all, ledger.Gauge{
			Name: "limit_used_ratio", Labels: []string{"limit", name},
			Help: "How much of a limit is used, 1 being all of it; only of limits that are set.",
			Read: func() float64 { return l.used(name) },
		})
	}
	return all
}

// used is NaN, no metric, for a limit that is not set.
func (l *limits) used(name string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.uses {
		if u.Name == name {
			return u.Now
		}
	}
	return math.NaN()
}

// logSizes says which sizes mem_limit led to.
func logSizes(a *Agent) {
	if c := a.cfg; c.Limits.Mem > 0 {
		a.log.Info("mem_limit: tables are sized for it", "mem_limit", c.Limits.Mem, "max_sockets", c.Netflow.MaxSockets,
			"max_flows", c.Netflow.MaxFlows, "l7_max_conns", c.L7.MaxConns, "l7_ring_size", c.L7.RingSize,
			"l7_max_rows", c.L7.MaxRows, "exchange_rows", c.Tables.ExchangeRows, "side_tables", c.Tables.Side,
			"names", c.Tables.Names, "sink_queue", c.Tables.Queue)
	}
}

// limits are those of the configuration in force.
func (a *Agent) limits() config.Limits {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Limits
}

// shed makes every source and the pipeline leave out what the step says. The
// agent goes on meanwhile: to take probes out of processes takes its time.
func (a *Agent) shed(step int) {
	a.mu.Lock()
	sources := maps.Clone(a.sources)
	a.mu.Unlock()
	for name, r := range sources {
		if r.dead() != nil {
			continue
		}
		switch s := r.source.(type) {
		case *conn.Source:
			s.Slow(int(pace(step)))
		case *exchanges:
			if err := s.shed(step); err != nil {
				a.log.Error("limits", "source", name, "err", err)
			}
		}
	}
	a.pipe.shed(step >= shedSampled)
}
