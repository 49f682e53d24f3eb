// Package exec is the source of the command audit: which program was started,
// by whom, where, in which session, and how it ended. It also knows the session
// of every process, which ties flows to the commands that made them.
//
// Place in the path of a record: exec.bpf.c reads arguments and paths when a
// program begins → rows.go makes record.Exec → emit; sessions.go is asked by the
// pipeline.
package exec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/probe/account"
	"weft/record"
	"weft/source"
)

const (
	// quiet is how long the ring may wait to be read when it is not filling.
	quiet = 100 * time.Millisecond
	// maxBatch bounds the records that are emitted together.
	maxBatch = 4096
)

// Options are what the source needs besides the configuration.
type Options struct {
	// Container names the container of a process; false when it cannot tell,
	// such as when the process has gone.
	Container func(pid uint32) (string, bool)
}

// Source watches programs. It is made by New, attached.
type Source struct {
	log      *slog.Logger
	coll     *ebpf.Collection
	links    []link.Link
	caps     []probe.Capability
	sessions *Sessions
	rows     *rows
	stage    *ledger.Stage
	closing  sync.Once
}

// New attaches the programs and takes in the sessions that exist. It fails
// where the kernel does not let them be attached.
func New(cfg *config.Config, o Options, led *ledger.Ledger, log *slog.Logger) (*Source, error) {
	redact, err := newRedactor(cfg.Exec.Redact)
	if err != nil {
		return nil, err
	}
	s := &Source{log: log, stage: led.Stage("exec.events")}
	const cost = "one run per process and program that begins or ends"
	s.caps = []probe.Capability{probe.Climb("programs", "ebpf-exec, session_id", probe.Rung{
		Door: "tp_btf sched_process_exec, fork, exit", Cost: cost, Try: func() error { return s.attach(cfg) },
	})}
	if err := s.caps[0].Err(); err != nil {
		return nil, err
	}
	proc := cmp.Or(cfg.HostProc, "/proc")
	if s.sessions, err = newSessions(proc, s.coll, 2*cfg.Interval); err != nil {
		s.Close()
		return nil, err
	}
	s.rows = &rows{
		redact: redact, stage: s.stage, names: account.New(proc, cmp.Or(cfg.HostRoot, "/")), container: o.Container,
		session: s.sessions.text, live: map[uint32]*begun{}, containers: map[containerKey]string{}, runs: s.runs,
	}
	if err := s.sessions.seed(); err != nil {
		log.Warn("sessions that existed before are not all known", "err", err)
	}
	s.gauges(led)
	return s, nil
}

func (s *Source) attach(cfg *config.Config) error {
	// Before 5.11 maps count against the limit; creating them says so if they do not fit.
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("read the BPF object: %w", err)
	}
	err = errors.Join(spec.Variables["want_records"].Set(wanted(cfg)),
		spec.Variables["max_args"].Set(uint32(cfg.Exec.MaxArgs)))
	if err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	if s.coll, err = ebpf.NewCollection(spec); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for _, name := range []string{"process_fork", "process_exec", "process_exit"} {
		l, err := link.AttachTracing(link.TracingOptions{Program: s.coll.Programs[name]})
		if err != nil {
			s.Close()
			return fmt.Errorf("attach %s: %w", name, err)
		}
		s.links = append(s.links, l)
	}
	return nil
}

// wanted is 1 for rows, 0 for sessions alone.
func wanted(cfg *config.Config) uint32 {
	if slices.Contains(cfg.EnabledPlugins, "ebpf-exec") {
		return 1
	}
	return 0
}

func (s *Source) gauges(led *ledger.Ledger) {
	for _, name := range []string{"process_fork", "process_exec", "process_exit"} {
		led.AddGauge(probe.Program{Name: name, Prog: s.coll.Programs[name]}.Gauges()...)
	}
	for _, name := range []string{"progs", "members", "leaders"} {
		led.AddGauge(probe.Map{Name: name, Map: s.coll.Maps[name]}.Gauges()...)
	}
}

func (s *Source) runs(pid uint32, began uint64) bool {
	var p bpfProgram
	return s.coll.Maps["progs"].Lookup(pid, &p) == nil && p.Began == began
}

// Sessions tells which session a process belongs to. It is usable after Close,
// for the last flows.
func (s *Source) Sessions() *Sessions { return s.sessions }

// Capabilities tells which doors are in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return s.caps }

// Reload implements source.Source: what is hidden may change, and whether rows
// are wanted.
func (s *Source) Reload(cfg *config.Config) error {
	redact, err := newRedactor(cfg.Exec.Redact)
	if err != nil {
		return err
	}
	s.rows.setRedactor(redact)
	if err := s.coll.Variables["want_records"].Set(wanted(cfg)); err != nil {
		return fmt.Errorf("turn records on or off: %w", err)
	}
	return nil
}

// Close detaches everything; for a source that is not run.
func (s *Source) Close() {
	s.closing.Do(func() {
		for _, l := range s.links {
			l.Close()
		}
		s.coll.Close()
	})
}

// Run implements source.Source.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	defer s.Close()
	rd, err := ringbuf.NewReader(s.coll.Maps["events"])
	if err != nil {
		return fmt.Errorf("read programs: %w", err)
	}
	defer rd.Close()
	for ctx.Err() == nil {
		rd.SetDeadline(time.Now().Add(quiet))
		if err := s.drain(rd, emit); err != nil {
			return err
		}
	}
	// What is in the ring now is the last: programs see no more.
	for _, l := range s.links {
		l.Close()
	}
	rd.SetDeadline(time.Now())
	return s.drain(rd, emit)
}

// drain emits what is in the ring, until its deadline.
func (s *Source) drain(rd *ringbuf.Reader, emit source.Emit) error {
	var rec ringbuf.Record
	var batch []record.Record
	clock := newClock()
	for {
		err := rd.ReadInto(&rec)
		if err == nil {
			if r := s.rows.event(rec.RawSample, clock); r != nil {
				batch = append(batch, r)
			}
		}
		if err != nil || len(batch) >= maxBatch {
			emit(slices.Clip(batch))
			batch = nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.count()
			return nil
		case err != nil:
			return fmt.Errorf("read programs: %w", err)
		}
	}
}

// count carries the kernel's counters into the ledger.
func (s *Source) count() {
	taken, full := s.stat(bpfExecStatSTAT_TAKEN), s.stat(bpfExecStatSTAT_RING_FULL)
	s.stage.SetIn(taken)
	s.stage.SetDropped("ring_full", full)
	s.stage.SetDropped("args_failed", s.stat(bpfExecStatSTAT_ARGS_FAILED))
	s.stage.SetDropped("progs_full", s.stat(bpfExecStatSTAT_PROGS_FULL))
}

// stat sums one per-CPU counter.
func (s *Source) stat(which bpfExecStat) int64 {
	var perCPU []uint64
	if err := s.coll.Maps["exec_stats"].Lookup(which, &perCPU); err != nil {
		return 0
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return int64(sum)
}
