// Package agent is the only package that knows everybody: it builds the parts,
// starts them, reloads them and stops them in reverse.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/web"
)

// stopTimeout bounds the last flush: what sinks cannot send by then stays in
// their spools.
const stopTimeout = 10 * time.Second

// Agent is a running collector.
type Agent struct {
	log    *slog.Logger
	ledger *ledger.Ledger
	pipe   *pipeline

	mu      sync.Mutex
	cfg     *config.Config
	sources map[string]*running
	failed  map[string]error // parts that could not start
	facts   probe.Facts
	watch   *limits
}

// Run collects until ctx ends or SIGINT or SIGTERM comes, then flushes the
// last partial interval and detaches everything. SIGHUP takes over what reload
// returns. It fails when another instance holds the lock, when the
// configuration names something that cannot be had, or when nothing at all can
// be collected.
func Run(ctx context.Context, cfg *config.Config, reload func() (*config.Config, error)) error {
	log, closeLog, err := openLog(cfg)
	if err != nil {
		return err
	}
	defer closeLog()
	lock, err := takeLock(cfg.StateDir)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := writePidFile(cfg.PidFile); err != nil {
		return err
	}
	defer removePidFile(cfg.PidFile)
	a := &Agent{
		log: log, ledger: ledger.New(), cfg: cfg, facts: probe.Gather(probe.SystemPaths()),
		sources: map[string]*running{}, failed: map[string]error{},
	}
	return a.run(ctx, reload)
}

func (a *Agent) run(ctx context.Context, reload func() (*config.Config, error)) error {
	signal.Ignore(syscall.SIGPIPE) // the stdout sink counts what a closed pipe costs
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	pipe, err := newPipeline(a.cfg, a.ledger, a.log)
	if err != nil {
		return err
	}
	a.pipe, a.watch = pipe, newLimits(a)
	server, err := a.serve()
	if err != nil {
		return errors.Join(err, pipe.stop(context.Background()))
	}
	defer server.stop()
	if err := a.startSources(); err != nil {
		return errors.Join(err, pipe.stop(context.Background()))
	}
	debug.FreeOSMemory() // loading took more than what comes next
	logSizes(a)
	over := make(chan error, 1)
	watching, ended := context.WithCancel(ctx)
	defer ended()
	go a.watch.run(watching, over)
	a.log.Info("collecting", "version", a.cfg.Version, "interval", a.cfg.Interval, "sinks", a.cfg.Sinks)
	for {
		select {
		case <-hup:
			a.reload(reload)
			a.watch.again()
		case <-ctx.Done():
			stop() // a second signal ends the process at once
			a.log.Info("stopping: flushing the last partial interval")
			return a.stop()
		case err := <-over:
			a.log.Error("stopping: flushing the last partial interval", "err", err)
			a.pipe.report("weft: " + err.Error())
			return errors.Join(err, a.stop())
		}
	}
}

// stop ends the sources, which flush, then the pipeline, then the sinks.
func (a *Agent) stop() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := make([]error, 0, len(a.sources)+1)
	// What others were built on goes last.
	for _, p := range slices.Backward(parts()) {
		if r := a.sources[p.name]; r != nil {
			errs = append(errs, r.stop())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(append(errs, a.pipe.stop(ctx))...)
}

// reload takes a new configuration over while everything runs. A bad one is
// reported and changes nothing.
func (a *Agent) reload(load func() (*config.Config, error)) {
	cfg, err := load()
	if err != nil {
		a.log.Error("SIGHUP: the configuration in force stays", "err", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range fixed(a.cfg, cfg) {
		a.log.Warn("SIGHUP: takes effect at the next start", "key", key)
	}
	if err := a.pipe.reload(cfg); err != nil {
		a.log.Error("SIGHUP: sinks keep their configuration", "err", err)
	}
	a.cfg = cfg
	a.reloadSources()
	a.log.Info("SIGHUP: configuration reloaded", "interval", cfg.Interval, "sinks", cfg.Sinks)
}

// fixed names the keys that differ and cannot change while the process runs.
func fixed(old, cfg *config.Config) []string {
	var keys []string
	for key, changed := range map[string]bool{
		"state_dir":   old.StateDir != cfg.StateDir,
		"listen":      old.Listen != cfg.Listen,
		"log":         old.Log != cfg.Log,
		"pidfile":     old.PidFile != cfg.PidFile,
		"max_sockets": old.Netflow.MaxSockets != cfg.Netflow.MaxSockets,
		"max_flows":   old.Netflow.MaxFlows != cfg.Netflow.MaxFlows,
		"l7_max_path": old.L7.MaxPath != cfg.L7.MaxPath, "l7_max_conns": old.L7.MaxConns != cfg.L7.MaxConns,
		"l7_ring_size":  old.L7.RingSize != cfg.L7.RingSize,
		"exec_max_args": old.Exec.MaxArgs != cfg.Exec.MaxArgs,
		"max_nat":       old.Netflow.MaxNAT != cfg.Netflow.MaxNAT, "ebpf-conntrack": wantsNAT(old) != wantsNAT(cfg),
		"mem_limit (table sizes)": old.Tables != cfg.Tables,
	} {
		if changed {
			keys = append(keys, key)
		}
	}
	return keys
}

// health is what /healthz says.
func (a *Agent) health() web.Health {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := web.Health{Shedding: a.watch.state()}
	for _, c := range a.report().Capabilities {
		h.Capabilities = append(h.Capabilities, web.Capability{
			Name: c.Name, Feature: c.Feature, Door: c.Door, Advice: c.Advice,
		})
	}
	alive := false
	for _, p := range parts() {
		r := a.sources[p.name]
		if r == nil {
			continue
		}
		if err := r.dead(); err != nil {
			h.Problems = append(h.Problems, err.Error())
		} else if !p.auxiliary {
			alive = true
		}
	}
	if !alive {
		h.Dead = "no source is running"
	}
	return h
}

// report is what doctor would say of the running collector.
func (a *Agent) report() probe.Report {
	var all []probe.Capability
	for _, p := range parts() {
		switch r := a.sources[p.name]; {
		case r != nil:
			all = append(all, r.source.Capabilities()...)
		case p.wanted(a.cfg):
			all = append(all, missing(p, a.failed[p.name]))
		}
	}
	r := probe.NewReport(a.cfg.Version, a.facts, all)
	if l := a.sources["l7"]; l != nil {
		if x, ok := l.source.(*exchanges); ok {
			r.TLS = x.tlsProcesses()
		}
	}
	return r
}

func openLog(cfg *config.Config) (*slog.Logger, func(), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil && cfg.LogLevel != "" {
		return nil, nil, fmt.Errorf("log_level %q: want debug, info, warn or error", cfg.LogLevel)
	}
	out, closer := os.Stderr, func() {}
	if cfg.Log != "" {
		f, err := os.OpenFile(cfg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("open the log file: %w", err)
		}
		out, closer = f, func() { f.Close() }
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), closer, nil
}
