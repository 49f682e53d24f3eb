// Package tls is the source of what travels inside TLS: it reads the plaintext
// where a process hands it to its TLS library, and ties it to the connection
// that carries it. It never changes or delays what the process does.
//
// Place in the path of a record: tls.bpf.c takes the bytes of each read and
// write → stream.go makes chunks of connections → l7.Engine.
package tls

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"weft/config"
	"weft/l7"
	"weft/ledger"
	"weft/probe"
	"weft/protocol"
)

const (
	// quiet is how long the ring may wait to be read when it is not filling.
	quiet = 100 * time.Millisecond
	// settled is how old an event is when it leaves: a write is told of when it
	// ends but dated when it began, so it may come behind the answer to it.
	settled = 10 * time.Millisecond
	// sweepEvery is how often connections are compared with live sockets.
	sweepEvery = 5 * time.Second
	// stopTimeout bounds the reading of what is left when the source ends.
	stopTimeout = 5 * time.Second
	// maxBatch bounds the events that are sorted together.
	maxBatch = 1 << 13
)

// Output takes what the source finds. It is called from one goroutine, in the
// order of time. A chunk's data is valid during the call only.
type Output struct {
	Open  func(l7.ConnID, l7.Info)
	Chunk func(*l7.Chunk)
	// Close tells the end of a connection, at a time in monotonic ns.
	Close func(l7.ConnID, int64)
	// Wanted tells whether a process was chosen; of others nothing is taken. It
	// may be called from another goroutine; nil: all are.
	Wanted func(pid uint32, comm string) bool
}

// Source reads the plaintext of TLS. It is made by New, attached to the
// processes that run then.
type Source struct {
	log     *slog.Logger
	k       *kernel
	caps    []probe.Capability
	found   *discovery
	stream  *stream
	reaper  *reaper
	meter   *meter
	batch   []event
	memory  chan int
	gone    chan int
	again   chan struct{}
	closing sync.Once
}

// New loads the programs and attaches them. shared are the maps of live sockets
// (socks, listeners) that another source keeps: an object whose socket is not
// in there stays untied. It fails when functions of processes or sockets cannot
// be watched on this kernel.
func New(cfg *config.Config, shared map[string]*ebpf.Map, out Output, led *ledger.Ledger, log *slog.Logger,
) (*Source, error) {
	return newSource(cfg, shared, out, led, log, ladders{functions: functionRungs(), sockets: socketDoors()})
}

func newSource(cfg *config.Config, shared map[string]*ebpf.Map, out Output, led *ledger.Ledger, log *slog.Logger,
	l ladders,
) (*Source, error) {
	k, err := loadKernel(cfg, shared)
	if err != nil {
		return nil, err
	}
	s := &Source{log: log, k: k, memory: make(chan int, 256), gone: make(chan int, 256), again: make(chan struct{}, 1)}
	s.caps = []probe.Capability{k.climbFunctions(l.functions), k.climbSockets(l.sockets), k.climbProcesses()}
	if err := errors.Join(s.caps[0].Err(), s.caps[1].Err()); err != nil {
		k.close()
		return nil, fmt.Errorf("httpflow-tls cannot start: %w", err)
	}
	s.found = newDiscovery(k, cfg, out.Wanted, log)
	s.stream = newStream(out, led, s.found.untied)
	s.reaper = newReaper(k)
	s.meter = newMeter(led, s)
	s.found.start()
	return s, nil
}

// Capabilities tells which doors are in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return s.caps }

// Processes lists the processes that use TLS, and of each whether its plaintext
// is read, or why not. Safe to call at any time.
func (s *Source) Processes() []Process { return s.found.list() }

// Reload takes it over that other processes may be wanted now.
func (s *Source) Reload(*config.Config) error {
	select {
	case s.again <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}

// Skip tells the kernel that a side's bytes before an offset are of no use. It
// may be called from any goroutine.
func (s *Source) Skip(id l7.ConnID, side protocol.Side, until uint64) {
	key, value := bpfSkipKey{Sk: id.Sock, Server: uint64(side)}, bpfSkip{Born: id.Born, Until: until}
	if err := s.k.base.Maps["tls_skips"].Put(key, value); err != nil {
		s.log.Debug("a skip was not kept", "err", err)
	}
}

// Close detaches everything; for a source that is not run.
func (s *Source) Close() {
	s.closing.Do(func() {
		s.found.close()
		s.k.close()
	})
}

// Run reads events and follows processes until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	defer s.Close()
	events, err := ringbuf.NewReader(s.k.base.Maps["events"])
	if err != nil {
		return fmt.Errorf("read TLS events: %w", err)
	}
	lives, err := ringbuf.NewReader(s.k.base.Maps["lives"])
	if err != nil {
		return errors.Join(fmt.Errorf("read new processes: %w", err), events.Close())
	}
	born := make(chan life, 1024)
	var workers sync.WaitGroup
	workers.Go(func() { readLives(ctx, lives, born) })
	workers.Go(func() { s.found.run(ctx, changes{born: born, memory: s.memory, gone: s.gone, again: s.again}) })
	err = s.read(ctx, events)
	err = errors.Join(err, lives.Close(), events.Close())
	workers.Wait()
	return err
}

// readLives passes on which processes began a program.
func readLives(ctx context.Context, rd *ringbuf.Reader, born chan<- life) {
	var rec ringbuf.Record
	var e bpfTlsLife
	for rd.ReadInto(&rec) == nil {
		if _, err := binary.Decode(rec.RawSample, binary.NativeEndian, &e); err != nil {
			continue
		}
		select {
		case born <- life{int(e.Tgid), text(e.Path[:])}:
		case <-ctx.Done():
			return
		}
	}
}

// read turns the ring into chunks until ctx ends.
func (s *Source) read(ctx context.Context, rd *ringbuf.Reader) error {
	var rec ringbuf.Record
	swept, metered := time.Now(), time.Now()
	for ctx.Err() == nil {
		rd.SetDeadline(time.Now().Add(quiet))
		err := s.drain(rd, &rec)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read TLS events: %w", err)
		}
		s.deliver(monotonic() - int64(settled))
		now := time.Now()
		if now.Sub(metered) >= time.Second {
			metered = now
			s.meter.update()
		}
		if now.Sub(swept) >= sweepEvery {
			swept = now
			s.sweep()
		}
	}
	// What is in the ring now is the last, however much it is.
	rd.SetDeadline(time.Now())
	for last := monotonic(); monotonic()-last < int64(stopTimeout); {
		err := s.drain(rd, &rec)
		s.deliver(monotonic())
		if err != nil {
			break
		}
	}
	s.stream.endAll(monotonic())
	s.meter.update()
	return nil
}

// drain reads the ring into the batch until it has been empty for a while or
// the batch is full.
func (s *Source) drain(rd *ringbuf.Reader, rec *ringbuf.Record) error {
	for len(s.batch) < maxBatch {
		if err := rd.ReadInto(rec); err != nil {
			return err
		}
		e, err := parseEvent(rec.RawSample)
		if err != nil {
			return err
		}
		if e.Type == eventMemory {
			offer(s.memory, int(e.Tgid))
			continue
		}
		if e.Type == eventExit {
			offer(s.gone, int(e.Tgid))
			s.reaper.exited(e.Tgid, e.Time)
		}
		e.data = slices.Clone(e.data)
		s.batch = append(s.batch, e)
		if rec.Remaining == 0 {
			return nil
		}
	}
	return nil
}

// offer drops what is not taken in time: the general look at all processes
// comes to the same.
func offer(c chan<- int, pid int) {
	select {
	case c <- pid:
	default:
	}
}

// deliver gives out events up to a time, in the order of time.
func (s *Source) deliver(upTo int64) {
	if len(s.batch) >= maxBatch {
		upTo = monotonic() // there is no room to wait
	}
	slices.SortStableFunc(s.batch, func(a, b event) int { return int(int64(a.Time) - int64(b.Time)) })
	s.stream.settle(upTo)
	n := 0
	for n < len(s.batch) && int64(s.batch[n].Time) <= upTo {
		s.stream.handle(s.batch[n])
		n++
	}
	s.batch = slices.Delete(s.batch, 0, n)
}

// sweep ends connections whose sockets have gone, and forgets their objects.
func (s *Source) sweep() {
	lives := func(sock, born uint64) bool {
		var c bpfConn
		err := s.k.base.Maps["socks"].Lookup(sock, &c)
		return err == nil && c.Born == born
	}
	for _, id := range s.stream.sweep(monotonic(), lives) {
		// One that was tied anew meanwhile has been told of in the ring.
		_ = s.k.base.Maps["objects"].Delete(bpfObjectKey{Obj: id.obj, Tgid: id.pid})
	}
	if err := s.reaper.sweep(uint64(monotonic())); err != nil {
		s.log.Error("TLS objects are not cleaned up", "err", err)
	}
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return t.Nano()
}
