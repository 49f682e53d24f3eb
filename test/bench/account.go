package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/test/bench/usage"
)

// accountResult is what one run cost the collector, by the kernel's own
// accounting, and what the collector counted of it.
type accountResult struct {
	Ops float64 `json:"ops"`
	// BPF and Collector are CPU seconds per unit: in BPF programs (at the 25th
	// percentile of ns per run, and at the mean) and in the collector's threads.
	BPF       float64 `json:"bpf_s_p25"`
	BPFMean   float64 `json:"bpf_s_mean"`
	Collector float64 `json:"collector_s"`
	// IdleCPU is the collector's CPU seconds per second without load; it is
	// taken off Collector.
	IdleCPU   float64       `json:"idle_cpu"`
	RestMB    float64       `json:"rss_rest_mb"`
	LoadMB    float64       `json:"rss_load_mb"`
	PeakMB    float64       `json:"rss_peak_mb"`
	MapMB     float64       `json:"map_mb"`
	Programs  []programCost `json:"programs"`
	Compared  []comparison  `json:"compared,omitempty"`
	LoadError string        `json:"load_error,omitempty"`
}

// runsPerOp is of all programs together.
func (r accountResult) runsPerOp() (n float64) {
	for _, p := range r.Programs {
		n += p.RunsPerOp
	}
	return n
}

// nsPerRun is the mean over all programs, at their 25th percentiles.
func (r accountResult) nsPerRun() float64 {
	var ns, n float64
	for _, p := range r.Programs {
		ns, n = ns+p.LowNsPerRun*p.RunsPerOp, n+p.RunsPerOp
	}
	if n == 0 {
		return 0
	}
	return ns / n
}

// account runs the load once more under a fresh collector with the kernel's
// BPF statistics on, lets both ends count, and compares.
func (b *bench) account(ctx context.Context, w workload) (r accountResult, err error) {
	c := b.collectorFor(w)
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx, b.lab); err != nil {
		return r, err
	}
	stats, err := enableStats()
	if err != nil {
		return r, err
	}
	defer stats.Close()
	progs, err := openPrograms(c.pids())
	if err != nil {
		return r, err
	}
	defer progs.close()
	if r.IdleCPU, err = b.idleRate(ctx, c); err != nil {
		return r, err
	}
	s, err := b.watched(ctx, w, c, progs, &r)
	if err != nil {
		return r, err
	}
	if err := c.stop(); err != nil {
		return r, fmt.Errorf("ending the collector: %w", err)
	}
	if b.compare {
		r.Compared, err = compareFile(c.path, s.truth, b.lab)
	}
	return r, err
}

func (b *bench) idleRate(ctx context.Context, c *collector) (float64, error) {
	before, start := c.cpu(), time.Now()
	if err := pause(ctx, b.idle); err != nil {
		return 0, err
	}
	return (c.cpu() - before) / time.Since(start).Seconds(), nil
}

// watched runs the load with the programs under watch and fills in the costs.
func (b *bench) watched(ctx context.Context, w workload, c *collector, p *programs, r *accountResult) (sample, error) {
	r.RestMB, _ = usage.Memory(c.pids())
	before, err := p.snapshot()
	if err != nil {
		return sample{}, err
	}
	cpu, start := c.cpu(), time.Now()
	low, s, err := b.underWatch(ctx, w, p)
	if err != nil {
		return s, err
	}
	r.LoadMB, r.PeakMB = usage.Memory(c.pids())
	after, err := p.snapshot()
	if err != nil {
		return s, err
	}
	if err := pause(ctx, drain); err != nil {
		return s, err
	}
	used := c.cpu() - cpu - r.IdleCPU*time.Since(start).Seconds()
	r.Ops, r.LoadError = s.ops, s.failed
	r.Programs = p.costs(before, after, low, s.ops)
	for _, cost := range r.Programs {
		r.BPF += cost.LowNsPerRun * cost.RunsPerOp / 1e9 * w.per()
		r.BPFMean += cost.NsPerRun * cost.RunsPerOp / 1e9 * w.per()
	}
	// Below zero it says that it was not at rest when that was measured.
	r.Collector = used / s.ops * w.per()
	r.MapMB, err = mapMemory(c)
	return s, err
}

func (b *bench) underWatch(ctx context.Context, w workload, p *programs) ([]float64, sample, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var low []float64
	var werr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		low, werr = p.watch(watching)
	}()
	s, err := w.run(ctx, b.lab, b.accountAmount(w))
	stop()
	<-done
	return low, s, errors.Join(err, werr)
}

// accountAmount: a known number where the client can do one, else a time.
func (b *bench) accountAmount(w workload) amount {
	a := amount{limit: 10 * time.Minute, exact: true}
	switch w.name {
	case "churn":
		a.n = b.connections
	case "udp", "udp_short", "dns":
		// A request and its answer are two datagrams.
		a.n = b.datagrams / 2
	case "h2":
		a.n = b.requests
	default:
		a.limit = b.accountTime
	}
	return a
}

// mapMemory looks again: some maps grow with the load.
func mapMemory(c *collector) (float64, error) {
	p, err := openPrograms(c.pids())
	if err != nil {
		return 0, err
	}
	defer p.close()
	return float64(p.mapBytes) / 1e6, nil
}
