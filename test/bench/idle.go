package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"weft/test/bench/usage"
)

const (
	idlePort = 9311
	// idleEach is how many connections one process holds: the hard limit of
	// open files may be 20,000.
	idleEach = 17000
)

// idleResult is what many connections without traffic cost the collector.
type idleResult struct {
	// Order says whether the connections were there before the collector.
	Order       string  `json:"order"`
	Connections int64   `json:"connections"`
	Window      float64 `json:"window_s"`
	// MsPerSecond is the collector's own CPU time, BPF that of its programs.
	EmptyMsPerSecond float64 `json:"empty_ms_per_s"`
	MsPerSecond      float64 `json:"ms_per_s"`
	BPFMsPerSecond   float64 `json:"bpf_ms_per_s"`
	// SettleSeconds is the collector's CPU time in its settling time: with the
	// connections there before it, that includes finding them.
	SettleSeconds float64 `json:"settle_cpu_s"`
	EmptyMB       float64 `json:"rss_empty_mb"`
	RSSMB         float64 `json:"rss_mb"`
	MapMB         float64 `json:"map_mb"`
	// Missed is of all programs, from the start to after the last close.
	Missed   uint64       `json:"missed"`
	Compared []comparison `json:"compared,omitempty"`
}

// idleRun measures one order: connections opened under the collector, or
// there before it.
func (b *bench) idleRun(ctx context.Context, before bool) (r idleResult, err error) {
	c := b.collector()
	c.command = b.idleCommand
	defer func() { err = errors.Join(err, c.stop()) }()
	r.Order, r.Window = "after", b.idleWindow.Seconds()
	if before {
		r.Order = "before"
	} else if err := b.idleEmpty(ctx, c, &r); err != nil {
		return r, err
	}
	crowd, err := b.openCrowd(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, crowd.stop()) }()
	if before {
		if err := c.start(ctx, b.lab); err != nil {
			return r, err
		}
		r.SettleSeconds = c.cpu()
	}
	// The first snapshot makes what later ones find: that is not idling.
	if err := pause(ctx, c.settle+b.idleWindow); err != nil {
		return r, err
	}
	if r.MsPerSecond, r.BPFMsPerSecond, err = b.idleWindowCost(ctx, c); err != nil {
		return r, err
	}
	r.RSSMB, _ = usage.Memory(c.pids())
	if r.MapMB, err = mapMemory(c); err != nil {
		return r, err
	}
	return r, b.endCrowd(ctx, c, crowd, before, &r)
}

func (b *bench) idleEmpty(ctx context.Context, c *collector, r *idleResult) (err error) {
	if err := c.start(ctx, b.lab); err != nil {
		return err
	}
	r.SettleSeconds = c.cpu()
	r.EmptyMsPerSecond, _, err = b.idleWindowCost(ctx, c)
	r.EmptyMB, _ = usage.Memory(c.pids())
	return err
}

// idleWindowCost is CPU milliseconds per second of the collector's threads and
// of its programs. The window should be a multiple of the interval.
func (b *bench) idleWindowCost(ctx context.Context, c *collector) (own, bpf float64, err error) {
	stats, err := enableStats()
	if err != nil {
		return 0, 0, err
	}
	defer stats.Close()
	p, err := openPrograms(c.pids())
	if err != nil {
		return 0, 0, err
	}
	defer p.close()
	before, err := p.snapshot()
	if err != nil {
		return 0, 0, err
	}
	cpu, start := c.cpu(), time.Now()
	if err := pause(ctx, b.idleWindow); err != nil {
		return 0, 0, err
	}
	used, took := c.cpu()-cpu, time.Since(start).Seconds()
	after, err := p.snapshot()
	if err != nil {
		return 0, 0, err
	}
	for _, cost := range p.costs(before, after, make([]float64, len(before)), 1) {
		bpf += cost.Seconds
	}
	return used / took * 1e3, bpf / took * 1e3, c.process.alive()
}

// crowd is the two ends of the idle connections.
type crowd struct {
	client, server *process
}

func (b *bench) openCrowd(ctx context.Context) (_ *crowd, err error) {
	parts := int((b.idleConnections + idleEach - 1) / idleEach)
	procs := strconv.Itoa(parts)
	var c crowd
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	c.server, err = spawn(b.lab.server, nil, b.lab.load, "tcp-server",
		"-listen", at("0.0.0.0", idlePort), "-procs", procs, "-limit", "1h")
	if err != nil {
		return nil, err
	}
	ports := make([]uint16, parts)
	for i := range ports {
		ports[i] = idlePort + uint16(i)
	}
	if err := b.lab.server.awaitBound(ctx, bound{"tcp", ports, parts}); err != nil {
		return nil, err
	}
	c.client, err = spawn(b.lab.client, nil, b.lab.load, "tcp-idle", "-to", at(firstOf, idlePort),
		"-hosts", strconv.Itoa(hostsOf), "-n", itoa(b.idleConnections), "-procs", procs, "-hold", "1h", "-limit", "1h")
	if err != nil {
		return nil, err
	}
	return &c, c.await(ctx, b.idleConnections)
}

// await waits for the client's line that all connections are open.
func (c *crowd) await(ctx context.Context, n int64) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if r, err := loadResult(c.client.out.text()); err == nil && r.Ready && r.Connections == n {
			return nil
		}
		if err := errors.Join(pause(ctx, 50*time.Millisecond), c.client.alive()); err != nil {
			return err
		}
	}
	return fmt.Errorf("no %d connections in two minutes", n)
}

func (c *crowd) stop() error {
	var errs []error
	for _, p := range []*process{c.client, c.server} {
		if p != nil {
			errs = append(errs, p.stop(30*time.Second))
		}
	}
	c.client, c.server = nil, nil
	return errors.Join(errs...)
}

// endCrowd closes the connections under the collector's eyes and compares.
func (b *bench) endCrowd(ctx context.Context, c *collector, open *crowd, before bool, r *idleResult) error {
	client, server := open.client, open.server
	if err := errors.Join(open.stop(), b.lab.awaitClosed(ctx)); err != nil {
		return err
	}
	mine, err := loadResult(client.out.text())
	if err != nil {
		return err
	}
	theirs, err := loadResult(server.out.text())
	if err != nil {
		return err
	}
	r.Connections = mine.Connections
	if err := pause(ctx, drain); err != nil {
		return err
	}
	if r.Missed, err = missed(c); err != nil {
		return err
	}
	if err := c.stop(); err != nil || !b.compare {
		return err
	}
	t := truth{
		client: clientEnd(loadProcess, tcpExpectation(mine)),
		server: serverEnd(loadProcess, tcpExpectation(theirs)),
	}
	for i := range (b.idleConnections + idleEach - 1) / idleEach {
		t.ports = append(t.ports, itoa(idlePort+i))
	}
	if before {
		// They were established before anybody looked.
		t.client.want[established], t.server.want[established] = exactly(0), exactly(0)
	}
	r.Compared, err = compareFile(c.path, t, b.lab)
	return err
}

// missed is how many events the collector's programs have missed so far.
func missed(c *collector) (n uint64, err error) {
	p, err := openPrograms(c.pids())
	if err != nil {
		return 0, err
	}
	defer p.close()
	all, err := p.snapshot()
	for _, r := range all {
		n += r.Missed
	}
	return n, err
}
