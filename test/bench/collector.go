package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"weft/test/bench/usage"
)

// collector is what is measured: any command, in general `weft run`.
type collector struct {
	command string
	// settle is how long it is left alone after its start.
	settle time.Duration

	process *process
	started time.Time
	// path is its standard output.
	path string
	out  *os.File
}

// launch starts the command through the shell, so that it may quote.
func (c *collector) launch(l *lab) (err error) {
	c.path = filepath.Join(l.dir, "collector.ndjson")
	if c.out, err = os.Create(c.path); err != nil {
		return fmt.Errorf("making a file for the collector's output: %w", err)
	}
	c.started = time.Now()
	c.process, err = spawn(nil, c.out, "env", "BENCH_DIR="+l.dir, "sh", "-c", "exec "+c.command)
	if err != nil {
		c.out.Close()
	}
	return err
}

// start launches the collector and waits until it has settled.
func (c *collector) start(ctx context.Context, l *lab) error {
	if err := c.launch(l); err != nil {
		return err
	}
	if err := pause(ctx, c.settle); err != nil {
		return err
	}
	return c.process.alive()
}

// stop ends the collector, which flushes what it still has. It may be called
// again, and is when a run is called off.
func (c *collector) stop() error {
	if c.process == nil {
		return nil
	}
	early := c.process.alive()
	err := c.process.stop(20 * time.Second)
	c.process = nil
	c.out.Close()
	return errors.Join(early, err)
}

func (c *collector) pids() []int { return usage.Tree(c.process.cmd.Process.Pid) }

// cpu is 0 without a collector.
func (c *collector) cpu() float64 {
	if c == nil || c.process == nil {
		return 0
	}
	return usage.CPU(c.pids())
}

// firstRecord starts the collector under a trickle of connections and returns
// the time from its start to the first byte of its output.
func (b *bench) firstRecord(ctx context.Context) (took time.Duration, err error) {
	server, err := spawn(b.lab.server, nil, b.lab.load, "tcp-server", "-listen", at("0.0.0.0", tricklePort))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.stop(10*time.Second)) }()
	if err := b.lab.server.awaitBound(ctx, bound{"tcp", []uint16{tricklePort}, 1}); err != nil {
		return 0, err
	}
	client, err := spawn(b.lab.client, nil, b.lab.load, "tcp-churn", "-to", at(firstOf, tricklePort),
		"-n", "100000", "-rate", "50", "-limit", firstRecordLimit.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.stop(10*time.Second)) }()
	c := b.collector()
	if err := c.launch(b.lab); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	return c.awaitOutput(ctx)
}

const (
	tricklePort      = 9300
	firstRecordLimit = 20 * time.Second
)

func (c *collector) awaitOutput(ctx context.Context) (time.Duration, error) {
	for time.Since(c.started) < firstRecordLimit {
		info, err := os.Stat(c.path)
		if err != nil {
			return 0, fmt.Errorf("looking at the collector's output: %w", err)
		}
		if info.Size() > 0 {
			return time.Since(c.started), nil
		}
		if err := errors.Join(pause(ctx, 5*time.Millisecond), c.process.alive()); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no record within %s of the start", firstRecordLimit)
}
