// Package bash is the source of commands that are typed into interactive bash
// shells, wherever these run: it puts probes into readline, which is part of
// bash or a library of its own.
//
// Place in the path of a record: bash.bpf.c takes each line → commands.go joins
// lines to commands → emit. builds.go keeps probes in every bash that runs.
package bash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/probe/account"
	"weft/record"
	"weft/source"
)

const (
	// tick is how often commands are looked at that have begun to run.
	tick = 100 * time.Millisecond
	// rescan is how often all processes are looked at.
	rescan = 30 * time.Second
)

// Options are what the source needs besides the configuration.
type Options struct {
	// Session names the session of a process, "" for none.
	Session func(pid uint32) string
}

// Source watches shells. It is made by New, attached to those that run.
type Source struct {
	log      *slog.Logger
	k        *kernel
	caps     []probe.Capability
	builds   *builds
	commands *commands
	stage    *ledger.Stage
	closing  sync.Once
}

// New attaches the programs. It fails where functions of processes cannot be
// watched, or programs not be seen to begin.
func New(cfg *config.Config, o Options, led *ledger.Ledger, log *slog.Logger) (*Source, error) {
	k, err := loadKernel()
	if err != nil {
		return nil, err
	}
	s := &Source{log: log, k: k, stage: led.Stage("bash.events")}
	s.caps = []probe.Capability{k.climbFunctions(), k.climbPrograms()}
	if err := errors.Join(s.caps[0].Err(), s.caps[1].Err()); err != nil {
		k.close()
		return nil, fmt.Errorf("ebpf-bash cannot start: %w", err)
	}
	proc, root := cmp.Or(cfg.HostProc, "/proc"), cmp.Or(cfg.HostRoot, "/")
	s.builds = newBuilds(k, proc, root, log)
	s.commands = newCommands(account.New(proc, root), o.Session, led.Stage("bash.commands"))
	s.builds.start()
	for name, p := range k.coll.Programs {
		led.AddGauge(probe.Program{Name: name, Prog: p}.Gauges()...)
	}
	led.AddGauge(ledger.Gauge{
		Name: "bash_files", Help: "Files with probes in readline.", Read: s.builds.attached,
	})
	return s, nil
}

// Capabilities tells which doors are in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return s.caps }

// Reload implements source.Source: nothing of the configuration changes it.
func (s *Source) Reload(*config.Config) error { return nil }

// Close detaches everything; for a source that is not run.
func (s *Source) Close() {
	s.closing.Do(func() {
		s.builds.close()
		s.k.close()
	})
}

// Run implements source.Source.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	defer s.Close()
	rd, err := ringbuf.NewReader(s.k.coll.Maps["events"])
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	defer rd.Close()
	looked := time.Now()
	for ctx.Err() == nil {
		rd.SetDeadline(time.Now().Add(tick))
		if err := s.drain(rd, emit); err != nil {
			return err
		}
		s.emit(emit, s.commands.settle(boottime()))
		if now := time.Now(); now.Sub(looked) >= rescan {
			looked = now
			s.builds.lookAtAll()
			s.emit(emit, s.commands.forget(s.builds.gone))
		}
	}
	s.builds.close() // what is in the ring now is the last
	rd.SetDeadline(time.Now())
	err = s.drain(rd, emit)
	s.emit(emit, s.commands.forget(func(uint32) bool { return true }))
	return err
}

// drain takes what is in the ring, until its deadline. Commands that end with
// it leave when the ring is empty.
func (s *Source) drain(rd *ringbuf.Reader, emit source.Emit) error {
	var rec ringbuf.Record
	var batch []record.Record
	clock := newClock()
	for {
		err := rd.ReadInto(&rec)
		if err == nil {
			batch = append(batch, s.event(rec.RawSample, clock)...)
		}
		if err != nil || rec.Remaining == 0 {
			s.emit(emit, batch)
			batch = nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read lines: %w", err)
		}
	}
}

func (s *Source) emit(emit source.Emit, batch []record.Record) {
	s.stage.SetIn(s.k.stat(bpfBashStatSTAT_TAKEN))
	s.stage.SetDropped("ring_full", s.k.stat(bpfBashStatSTAT_RING_FULL))
	s.stage.SetDropped("copy_failed", s.k.stat(bpfBashStatSTAT_COPY_FAILED))
	emit(batch)
}

// event takes one event and returns the commands that end with it.
func (s *Source) event(b []byte, c clock) []record.Record {
	if len(b) < int(unsafe.Sizeof(bpfBashEvent{})) {
		s.stage.Drop("short_event", 1)
		return nil
	}
	s.stage.Out(1)
	e := (*bpfBashEvent)(unsafe.Pointer(&b[0])) // the reader's buffer is aligned
	if e.Kind == bpfBashKindEV_FILE {
		s.builds.begun(e.Tgid, e.File)
		return nil
	}
	if e.Known == 0 && !s.builds.isShell(e) || e.InBuiltin != 0 {
		return nil
	}
	return s.commands.event(e, text(b, e.Len), c)
}

// text is the line behind an event, without its 0.
func text(b []byte, n uint32) []byte {
	b = b[unsafe.Sizeof(bpfBashEvent{}):]
	n = min(n, uint32(len(b)))
	if n == 0 {
		return nil
	}
	return b[:n-1]
}
