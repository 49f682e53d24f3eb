// Package conn is the source of netflow: TCP and UDP traffic per process,
// summed in the kernel and read out once an interval. No program of it runs
// while data flows on an established TCP connection.
//
// Place in the path of a record: conn.bpf.c adds to rows of a kernel table →
// readout.go turns rows into record.Netflow → aggregate.FlowWindow → emit.
package conn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"weft/aggregate"
	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/record"
	"weft/source"
)

// How often the fill of the kernel's flow table is looked at (a read of shared
// memory, no system call): calm while it is nearly empty, else pressed; a small
// table as often as a burst takes to fill half of it.
const (
	calm     = time.Second
	pressed  = 100 * time.Millisecond
	shortest = 5 * time.Millisecond
	burst    = 200_000 // rows a second
)

// look is how long to wait until the next look at the table.
func (s *Source) look(most time.Duration) time.Duration {
	if s.cfg.MaxFlows >= 1<<16 {
		return most
	}
	return min(most, max(shortest, time.Duration(s.cfg.MaxFlows/2)*time.Second/burst))
}

// maxSlices bounds the parts of a snapshot; the kernel numbers 256.
const maxSlices = 256

// Source collects netflow. It is made by New, attached and seeded.
type Source struct {
	log       *slog.Logger
	k         *kernel
	walks     walks
	out       *readout
	window    *aggregate.FlowWindow
	caps      []probe.Capability
	meter     *meter
	gate      *gate
	nat       source.NAT // nil: not asked for, or not to be had
	cfg       config.Netflow
	every     time.Duration
	reload    chan *config.Config
	passes    uint32 // snapshots so far
	udpActive bool   // UDP rows since the last flush
	// slow makes one interval of so many; 0 and 1 are the same.
	slow atomic.Int32
	turn int32 // intervals that have passed of the one
	// seesListen is false on TCP doors that miss listen().
	seesListen bool
}

// New loads and attaches the programs and takes in the sockets that exist. It
// fails when neither TCP nor UDP can be seen; a part that is missing is told
// by Capabilities.
func New(cfg *config.Config, nat source.NAT, led *ledger.Ledger, log *slog.Logger) (*Source, error) {
	return newSource(cfg, nat, led, log, tcpDoors(), udpDoors())
}

func newSource(
	cfg *config.Config, nat source.NAT, led *ledger.Ledger, log *slog.Logger, tcp, udp []door,
) (*Source, error) {
	k, err := loadKernel(cfg)
	if err != nil {
		return nil, err
	}
	s := &Source{
		log: log, k: k, out: newReadout(k.base), window: aggregate.NewFlowWindow(),
		nat: nat, cfg: cfg.Netflow, every: cfg.Interval, reload: make(chan *config.Config),
	}
	if err := s.start(tcp, udp); err != nil {
		k.close()
		return nil, err
	}
	s.meter = newMeter(led, k, s.out)
	return s, nil
}

func (s *Source) start(tcp, udp []door) error {
	if err := s.k.configure(s.cfg, s.nat != nil); err != nil {
		return err
	}
	s.caps = []probe.Capability{s.startTCP(tcp)}
	if s.cfg.UDP {
		s.caps = append(s.caps, s.startUDP(udp))
	}
	var errs []error
	for _, c := range s.caps {
		if c.OK() {
			return nil
		}
		errs = append(errs, c.Err())
	}
	return fmt.Errorf("netflow cannot start: %w", errors.Join(errs...))
}

// startTCP attaches the state door first and seeds then, so that no socket
// falls between.
func (s *Source) startTCP(doors []door) probe.Capability {
	c := s.k.climb("tcp connections", "netflow (TCP)", doors, &s.k.tcp)
	if !c.OK() {
		return c
	}
	s.seesListen = s.k.tcp.programs["tcp_state_tp"] != nil || s.k.tcp.programs["tcp_state_tp_nofetch"] != nil
	var err error
	if s.walks, err = s.k.openWalks(); err == nil {
		err = s.seedAll()
	}
	if err != nil {
		s.k.tcp.close()
		c.Failed = append(c.Failed, probe.Attempt{Door: c.Door, Why: err.Error()})
		c.Door = ""
	}
	return c
}

func (s *Source) seedAll() error {
	if err := s.k.seedAs(s.walks, seedListeners); err != nil {
		return err
	}
	return s.k.seedAs(s.walks, seedConns)
}

func (s *Source) startUDP(doors []door) probe.Capability {
	c := s.k.climb("udp datagrams", "netflow (UDP)", doors, &s.k.udp)
	var err error
	if s.gate, err = newGate(s.k, s.walks, s.log); err != nil {
		s.log.Warn("the UDP door stays open", "err", err)
	}
	return c
}

// Shared are the tables that other sources look sockets up in. They stay
// usable until Close.
func (s *Source) Shared() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{"socks": s.k.base.Maps["socks"], "listeners": s.k.base.Maps["listeners"]}
}

// Capabilities tells which doors are in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return s.caps }

// Close detaches everything; for a source that is not run.
func (s *Source) Close() {
	s.gate.close()
	s.k.close()
}

// Run implements source.Source.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	defer s.Close()
	flush := time.NewTicker(s.every)
	defer flush.Stop()
	pressure := time.NewTimer(s.look(calm))
	defer pressure.Stop()
	for {
		select {
		case <-ctx.Done():
			s.passes = s.passes | 15 // the last snapshot is one that looks at every entry
			return s.flush(emit)
		case cfg := <-s.reload:
			if err := s.apply(cfg); err != nil {
				s.log.Error("netflow keeps its configuration", "err", err)
			}
			flush.Reset(s.every)
		case <-pressure.C:
			pressure.Reset(s.relieve(emit))
		case <-s.gate.wakes():
			if err := s.gate.open(); err != nil {
				s.log.Error("UDP is not seen", "err", err)
			}
		case <-flush.C:
			if s.turn++; s.turn < s.slow.Load() {
				continue
			}
			s.turn = 0
			if err := s.flush(emit); err != nil {
				s.log.Error("netflow lost an interval", "err", err)
			}
		}
	}
}

// Slow makes one interval of n, until it is called with 1. Nothing is lost: the
// flow table is read out as before when it fills up.
func (s *Source) Slow(n int) { s.slow.Store(int32(n)) }

// relieve reads the flow table out early when it is half full, and says when
// to look again.
func (s *Source) relieve(emit source.Emit) time.Duration {
	used, size := s.out.rowsInUse(), uint64(s.cfg.MaxFlows)
	if used < size/16 {
		return s.look(calm)
	}
	if used < size/2 {
		return s.look(pressed)
	}
	if err := s.drainEarly(emit); err != nil {
		s.log.Error("early read-out failed", "err", err)
	}
	return s.look(pressed)
}

// flush ends an interval: what live sockets have done since the last one joins
// what the doors have added, and leaves.
func (s *Source) flush(emit source.Emit) error {
	err := errors.Join(s.snapshot(emit), s.drain())
	s.meter.update()
	emit(s.window.Flush(time.Now().UnixNano()))
	active := s.udpActive
	s.udpActive = false
	return errors.Join(err, s.gate.closeIfIdle(active))
}

// drain takes the rows out of the kernel. Where connections may have been sent
// elsewhere by NAT, a row is one connection; it is joined with its target, and
// equal rows become one only then.
func (s *Source) drain() error {
	return s.out.drain(func(n *record.Netflow, when int64) {
		s.udpActive = s.udpActive || n.Transport == record.UDP
		if s.nat != nil && n.Direction == record.Outgoing {
			n.NAT = s.nat(&n.FlowKey, when, s.out.swapped)
			n.FlowKey = n.Collapsed(uint32(s.cfg.EphemeralPort))
		}
		s.window.Add(n)
	})
}

func (s *Source) snapshot(emit source.Emit) error {
	if s.walks.snapshot == nil {
		return nil
	}
	if !s.seesListen {
		if err := s.k.seedAs(s.walks, seedListeners); err != nil {
			return err
		}
	}
	if s.k.unresolved() > 0 {
		if err := s.k.seedAs(s.walks, seedResolve); err != nil {
			return err
		}
	}
	s.passes++
	if err := s.k.base.Variables["snapshots"].Set(s.passes); err != nil {
		return fmt.Errorf("count the snapshot: %w", err)
	}
	for slices := uint32(1); slices <= maxSlices; slices *= 4 {
		left, err := s.walkSlices(slices, emit)
		if err != nil || !left {
			return err
		}
	}
	return nil
}

// walkSlices goes through all sockets in so many parts, with a read-out behind
// each that half fills the flow table; left says that it was too small for one.
func (s *Source) walkSlices(slices uint32, emit source.Emit) (left bool, err error) {
	for at := range slices {
		more, err := s.k.walkSlice(s.walks, slices-1, at, s.cfg.MaxFlows)
		if err != nil {
			return false, err
		}
		left = left || more
		if more || s.out.rowsInUse() > uint64(s.cfg.MaxFlows/2) {
			if err := s.drainEarly(emit); err != nil {
				return false, err
			}
		}
	}
	return left, nil
}

// drainEarly reads the flow table out within an interval. When many rows wait
// here, they leave: what follows of the interval is in rows of its own.
func (s *Source) drainEarly(emit source.Emit) error {
	if err := s.drain(); err != nil {
		return err
	}
	if s.window.Len() > s.cfg.MaxFlows/2 {
		emit(s.window.Flush(time.Now().UnixNano()))
	}
	return nil
}

// Reload implements source.Source: everything but the table sizes changes
// while programs run.
func (s *Source) Reload(cfg *config.Config) error {
	select {
	case s.reload <- cfg:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("netflow did not take the new configuration in 10s")
	}
}

func (s *Source) apply(cfg *config.Config) error {
	old := s.cfg
	s.every, s.cfg = cfg.Interval, cfg.Netflow
	s.cfg.MaxSockets, s.cfg.MaxFlows = old.MaxSockets, old.MaxFlows
	if err := s.k.configure(s.cfg, s.nat != nil); err != nil {
		return err
	}
	if s.cfg.UDP != old.UDP {
		s.switchUDP()
	}
	more := s.cfg.Loopback && !old.Loopback || !s.cfg.IPv6Disabled && old.IPv6Disabled
	if more && s.walks.seed != nil {
		return s.seedAll()
	}
	return nil
}

func (s *Source) switchUDP() {
	s.gate.close()
	s.gate = nil
	s.k.udp.close()
	s.caps = s.caps[:1]
	if s.cfg.UDP {
		s.caps = append(s.caps, s.startUDP(udpDoors()))
	}
}
