package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// pairedResult compares runs with the collector to runs without it.
type pairedResult struct {
	// Rate is operations per second, CPU is CPU seconds of client, server and
	// the kernel's network threads per unit; medians.
	RateWithout float64 `json:"rate_without"`
	RateWith    float64 `json:"rate_with"`
	CPUWithout  float64 `json:"cpu_without"`
	CPUWith     float64 `json:"cpu_with"`
	// Load is the ratio of CPU per operation, Total with the collector's own
	// CPU added, Control of two runs without it. Geometric means.
	Load    ratios `json:"load"`
	Total   ratios `json:"total"`
	Control ratios `json:"control"`
}

// ratios are single ratios of paired runs; their mean is geometric.
type ratios []float64

func (r ratios) mean() float64 {
	if len(r) == 0 {
		return 0
	}
	var sum float64
	for _, v := range r {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(r)))
}

// drain is how long the collector is watched after a load, so that the cost of
// reporting it is seen.
const drain = 2500 * time.Millisecond

// paired runs without and with the collector in the order A B B A, so that a
// machine which slowly changes treats both alike.
func (b *bench) paired(ctx context.Context, w workload) (pairedResult, error) {
	var without, with []sample
	if _, err := w.run(ctx, b.lab, amount{limit: time.Second}); err != nil {
		return pairedResult{}, fmt.Errorf("warming up: %w", err)
	}
	for range b.reps {
		first, err := b.one(ctx, w, nil)
		if err != nil {
			return pairedResult{}, err
		}
		pair, err := b.pair(ctx, w)
		if err != nil {
			return pairedResult{}, err
		}
		last, err := b.one(ctx, w, nil)
		if err != nil {
			return pairedResult{}, err
		}
		without, with = append(without, first, last), append(with, pair...)
	}
	return pairUp(w, without, with), nil
}

// pair is the two runs with the collector.
func (b *bench) pair(ctx context.Context, w workload) (out []sample, err error) {
	c := b.collectorFor(w)
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx, b.lab); err != nil {
		return nil, err
	}
	for range 2 {
		s, err := b.one(ctx, w, c)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (b *bench) one(ctx context.Context, w workload, c *collector) (sample, error) {
	before := c.cpu()
	s, err := w.run(ctx, b.lab, amount{limit: b.duration})
	if err != nil {
		return s, err
	}
	if s.failed != "" {
		return s, fmt.Errorf("the load %s itself failed: %s", w.name, s.failed)
	}
	if c != nil {
		if err := pause(ctx, drain); err != nil {
			return s, err
		}
		s.collector = c.cpu() - before
	}
	return s, nil
}

// pairUp sets neighbours against each other: A1 and B1, A2 and B2; A1 and A2
// are the control, which shows how much two equal runs differ.
func pairUp(w workload, without, with []sample) pairedResult {
	var r pairedResult
	var rateA, rateB, cpuA, cpuB []float64
	for i, a := range without {
		b := with[i]
		r.Load = append(r.Load, b.perOp()/a.perOp())
		r.Total = append(r.Total, b.total()/a.total())
		if i%2 == 1 {
			r.Control = append(r.Control, a.perOp()/without[i-1].perOp())
		}
		rateA, rateB = append(rateA, a.ops/a.wall), append(rateB, b.ops/b.wall)
		cpuA, cpuB = append(cpuA, a.perOp()*w.per()), append(cpuB, b.perOp()*w.per())
	}
	r.RateWithout, r.RateWith = median(rateA), median(rateB)
	r.CPUWithout, r.CPUWith = median(cpuA), median(cpuB)
	return r
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
