package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// perOpLimit is how often a program may run per request before it counts as a
// program on the path of every send or receive. An iterator that runs once an
// interval stays far below.
const perOpLimit = 0.01

// showPrograms prints how often every BPF program of the collector runs while
// requests pass over connections that were established before the window, and
// fails when one runs per request.
func (b *bench) showPrograms(ctx context.Context, out io.Writer) (err error) {
	c := b.collector()
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx, b.lab); err != nil {
		return err
	}
	stats, err := enableStats()
	if err != nil {
		return err
	}
	defer stats.Close()
	p, err := openPrograms(c.pids())
	if err != nil {
		return err
	}
	defer p.close()
	before, after, ops, err := b.midLoad(ctx, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-28s %12s %12s %14s %10s\n", "program", "runs before", "runs after", "runs/request", "ns/run")
	var busy []error
	for i, name := range p.name {
		n := after[i].Count - before[i].Count
		perOp := float64(n) / ops
		fmt.Fprintf(out, "%-28s %12d %12d %14.6f %10.0f\n", name, before[i].Count, after[i].Count, perOp,
			float64(after[i].Time-before[i].Time)/max(1, float64(n)))
		if perOp > perOpLimit {
			busy = append(busy, fmt.Errorf("%s ran %.3f times per request", name, perOp))
		}
	}
	fmt.Fprintf(out, "%d programs, about %s requests on 32 established connections\n", len(p.name), group(int64(ops)))
	return errors.Join(busy...)
}

// midLoad reads the run counts a second after the keep-alive load has begun
// and a second before it ends, and how many requests passed in between.
func (b *bench) midLoad(ctx context.Context, p *programs) (before, after []runs, ops float64, err error) {
	const margin = time.Second
	var s sample
	done := make(chan error, 1)
	window := b.duration
	go func() {
		var err error
		s, err = httpKeepAlive().run(ctx, b.lab, amount{limit: window + 2*margin})
		done <- err
	}()
	before, after, err = p.around(ctx, margin, window)
	if lerr := <-done; lerr != nil || err != nil {
		return nil, nil, 0, errors.Join(err, lerr)
	}
	return before, after, s.ops / s.wall * window.Seconds(), nil
}

func (p *programs) around(ctx context.Context, margin, window time.Duration) (before, after []runs, err error) {
	if err := pause(ctx, margin); err != nil {
		return nil, nil, err
	}
	if before, err = p.snapshot(); err != nil {
		return nil, nil, err
	}
	if err := pause(ctx, window); err != nil {
		return nil, nil, err
	}
	after, err = p.snapshot()
	return before, after, err
}
