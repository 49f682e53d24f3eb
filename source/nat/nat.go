// Package nat is the source of NAT targets: what conntrack makes of each
// connection, in every network namespace. It emits no records; other sources
// look the target of a row up when they read it out, by the exact connection.
//
// Place in the path of a record: source/conn, source/payload → row → Lookup →
// record.FlowKey.NAT → aggregate.
package nat

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/record"
	"weft/source"
)

const (
	// drainEvery is how often the ring is emptied when nobody asks.
	drainEvery = 250 * time.Millisecond
	// scanEvery is how often namespaces are looked for.
	scanEvery = 5 * time.Second
	// dumpEvery is how often all is read anew, because an entry older than its
	// first listener is deleted without a message (Linux 5.19, event mode auto).
	dumpEvery = 5 * time.Minute
	// grace is how long a deleted entry is kept beyond the two intervals in
	// which a row of its connection may be read out.
	grace = 10 * time.Second
)

// Source watches conntrack. It is made by New, attached.
type Source struct {
	log      *slog.Logger
	proc     string
	hostPID  uint32
	hostPath string
	host     uint32 // the first network namespace, behind which no NAT follows
	table    *table
	cap      probe.Capability
	kernel   *kernel
	// byMessage: the door is ctnetlink.
	byMessage bool
	// ringLock guards the reading of the ring; synced is up to when it was read.
	ringLock sync.Mutex
	synced   atomic.Int64
	interval atomic.Int64
	// incomplete: events of any namespace were lost.
	incomplete atomic.Bool

	mu     sync.Mutex
	spaces map[uint32]*space
	closed bool

	dumps, unwatched, unreadable atomic.Int64
	stage                        *ledger.Stage
}

// New opens the best door and reads the entries that exist. It fails when
// conntrack cannot be seen.
func New(cfg *config.Config, led *ledger.Ledger, log *slog.Logger) (*Source, error) {
	return newSource(cfg, 1, led, log, doors())
}

// newSource takes a process in the machine's network namespace.
func newSource(
	cfg *config.Config, host uint32, led *ledger.Ledger, log *slog.Logger, ladder []door,
) (*Source, error) {
	s := &Source{
		log: log, proc: cfg.HostProc, table: newTable(cfg.Netflow.MaxNAT), spaces: map[uint32]*space{},
		stage: led.Stage("nat"), hostPID: host,
	}
	s.interval.Store(int64(cfg.Interval))
	if err := s.findHost(host); err != nil {
		return nil, err
	}
	// Conntrack's functions can only be hooked when its module is there, and a dump loads it.
	if err := inNamespace(s.hostPath, func() error { return dump(func(*message) {}) }); err != nil {
		return nil, fmt.Errorf("conntrack cannot be read (is nf_conntrack built for this kernel?): %w", err)
	}
	var err error
	if s.kernel, err = openKernel(s.host); err != nil {
		return nil, err
	}
	rungs := make([]probe.Rung, 0, len(ladder))
	for _, d := range ladder {
		rungs = append(rungs, probe.Rung{Door: d.name, Cost: d.cost, Try: func() error { return s.start(d) }})
	}
	if s.cap = probe.Climb("nat", "ebpf-conntrack (dst_nat_ip, dst_nat_port)", rungs...); !s.cap.OK() {
		s.kernel.close()
		return nil, s.cap.Err()
	}
	s.scan()
	led.AddGauge(s.gauges()...)
	return s, nil
}

// start opens a door and then reads what is there, so that nothing is between.
func (s *Source) start(d door) error {
	s.byMessage = len(d.programs) == 0
	if err := s.kernel.open(d); err != nil {
		return err
	}
	err := s.watchHost()
	if err != nil {
		s.kernel.detach()
	}
	return err
}

func (s *Source) watchHost() error {
	sp, err := s.watch(s.host, s.hostPID)
	if err != nil {
		return err
	}
	s.spaces[s.host] = sp
	return nil
}

// Capabilities tells which door is in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return []probe.Capability{s.cap} }

// Close detaches everything; Lookup answers from what it knows then.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, sp := range s.spaces {
		sp.close()
	}
	clear(s.spaces)
	s.ringLock.Lock()
	defer s.ringLock.Unlock()
	s.kernel.close()
	s.kernel = nil
}

// Run implements source.Source; it emits nothing.
func (s *Source) Run(ctx context.Context, _ source.Emit) error {
	defer s.Close()
	drain := time.NewTicker(drainEvery)
	defer drain.Stop()
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	again := time.NewTicker(dumpEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-drain.C:
			s.drainRing(probe.Monotonic())
		case <-again.C:
			s.incomplete.Store(true)
		case <-scan.C:
			s.scan()
			s.table.expire(probe.Monotonic() - 2*s.interval.Load() - grace.Nanoseconds())
			s.update()
		}
	}
}

// Reload implements source.Source.
func (s *Source) Reload(cfg *config.Config) error {
	s.interval.Store(int64(cfg.Interval))
	return nil
}

// wanted tells whether the entry may be part of a way to a NAT target.
func (s *Source) wanted(m *message) bool {
	if m.key.netns == s.host {
		return m.entry.to.dst != m.key.dst || m.entry.to.dport != m.key.dport
	}
	return m.entry.to != m.key.tuple
}

// take handles an event.
func (s *Source) take(m *message) {
	switch {
	case !s.wanted(m):
	case m.kind == bpfNatKindNAT_GONE:
		s.table.remove(m.key, m.entry, m.entry.made)
	case m.kind == bpfNatKindNAT_NEVER:
		s.table.takeBack(m.key, m.entry)
	default:
		s.table.add(m.key, m.entry)
	}
}

// drainRing empties the ring unless that was done since the time.
func (s *Source) drainRing(at int64) {
	if s.synced.Load() >= at {
		return
	}
	s.ringLock.Lock()
	defer s.ringLock.Unlock()
	if s.kernel == nil || s.synced.Load() >= at { // nil: closed
		return
	}
	begun := probe.Monotonic()
	if s.kernel.drain(s.take) {
		s.incomplete.Store(true)
	}
	s.synced.Store(begun)
}

// Lookup is a source.NAT. The namespace of the socket may do NAT, and then the
// machine's does on what leaves that one.
func (s *Source) Lookup(k *record.FlowKey, when, out int64) netip.AddrPort {
	if k.Direction != record.Outgoing || !k.Dst.IsValid() || !k.Src.IsValid() || k.Dst.IsUnspecified() {
		return netip.AddrPort{}
	}
	since := out - s.interval.Load()
	way := tuple{src: mapped(k.Src), dst: mapped(k.Dst), sport: uint16(k.SrcPort), dport: uint16(k.DstPort)}
	s.space(k.NetNS, k.PID)
	s.drainRing(out)
	if to, ok := s.table.find(key{way, k.NetNS, k.Transport}, when, since); ok {
		way = to
	}
	if k.NetNS != s.host {
		if to, ok := s.table.find(key{way, s.host, k.Transport}, when, since); ok {
			way = to
		}
	}
	if way.dst == mapped(k.Dst) && way.dport == uint16(k.DstPort) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(way.dst).Unmap(), way.dport)
}
