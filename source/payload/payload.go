// Package payload is the source of what applications say to each other in
// clear text. It looks at the packets of every socket of the machine: HTTP/1
// requests and responses that come in turns are counted in the kernel, and read
// out once an interval; the bytes of everything else that is of interest go to
// user space, without bodies.
//
// Place in the path of a record: payload.bpf.c → ring and tables → rows.go →
// record.Httpflow; events.go → l7.Chunk, dnsflow.Datagram.
package payload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"weft/config"
	"weft/l7"
	"weft/l7/dnsflow"
	"weft/ledger"
	"weft/probe"
	"weft/protocol"
	"weft/record"
)

// The ring is looked at this often while something comes, and when nothing has
// come for a while, only when the kernel wakes the reader.
const (
	tick  = 100 * time.Millisecond
	quiet = 10 // ticks without an event until the reader sleeps
	sleep = 5 * time.Second
)

// Output takes what the source sees. It is called by one goroutine at a time,
// with Lock held; what is passed is valid during the call.
type Output struct {
	sync.Locker
	Open func(l7.ConnID, l7.Info)
	// From tells before Pending where both sides' streams go on; nil is allowed.
	From    func(id l7.ConnID, client, server uint64)
	Pending func(l7.ConnID, *protocol.Exchange)
	Chunk   func(*l7.Chunk)
	Close   func(l7.ConnID, int64)
	// Ends tells before Close where both sides' streams end; nil is allowed.
	Ends func(id l7.ConnID, client, server uint64)
	DNS  func(*dnsflow.Datagram)
	// Row takes a row of exchanges that were counted in the kernel; it keeps it.
	Row addRow
	// Split: clients' connections are rows of their own, with their true ports.
	Split bool
	// TLS takes the first bytes of either side of a TLS connection.
	TLS func(flow record.FlowKey, client, server []byte)
	// Idle is called when what has come was handed over, about ten times a
	// second under load; now is the kernel's monotonic time in ns.
	Idle func(now int64)
}

// Source collects payload. It is made by New, attached.
type Source struct {
	log   *slog.Logger
	out   Output
	k     *kernel
	rd    *ringbuf.Reader
	rows  *rows
	cap   probe.Capability
	meter *meter
	lines lineOptions

	servers map[l7.ConnID]bool
	hellos  map[l7.ConnID]*hello
	comms   map[[16]int8]string
	// datagram is the one at hand.
	datagram dnsflow.Datagram

	// asked are what Run does between two batches; ended is closed behind it.
	asked chan func()
	ended chan struct{}
}

// New loads and attaches the programs. shared are the tables of TCP sockets
// that source/conn keeps (socks, listeners).
func New(cfg *config.Config, shared map[string]*ebpf.Map, out Output, led *ledger.Ledger, log *slog.Logger,
) (*Source, error) {
	s := &Source{
		log: log, out: out, lines: lineOptions{maxPath: cfg.L7.MaxPath, keepQuery: cfg.L7.KeepQuery},
		servers: map[l7.ConnID]bool{}, hellos: map[l7.ConnID]*hello{}, comms: map[[16]int8]string{},
		asked: make(chan func()), ended: make(chan struct{}),
	}
	open := func(fetch bool) func() error {
		return func() error { return s.start(cfg, shared, fetch) }
	}
	const cost = "one run per packet (about 65 ns without payload); per HTTP/1 request about 0.25 µs a packet"
	s.cap = probe.Climb("payload", "httpflow, dnsflow",
		probe.Rung{Door: "cgroup_skb", Cost: cost, Try: open(true)},
		probe.Rung{Door: "cgroup_skb, before Linux 5.12", Cost: cost, Try: open(false)})
	if !s.cap.OK() {
		return nil, s.cap.Err()
	}
	s.meter = newMeter(led, s)
	return s, nil
}

func (s *Source) start(cfg *config.Config, shared map[string]*ebpf.Map, fetch bool) error {
	k, err := loadKernel(cfg, shared, fetch)
	if err != nil {
		return probe.LoadError(err)
	}
	rd, err := ringbuf.NewReader(k.coll.Maps[bpfMapEvents])
	if err != nil {
		k.close()
		return fmt.Errorf("read the ring: %w", err)
	}
	if err := errors.Join(k.configure(cfg.Netflow, s.out.Split), k.attach()); err != nil {
		rd.Close()
		k.close()
		return err
	}
	s.k, s.rd, s.rows = k, rd, newRows(k.coll)
	return nil
}

// Capabilities tells which door is in use and why better ones are not.
func (s *Source) Capabilities() []probe.Capability { return []probe.Capability{s.cap} }

// Close detaches everything; for a source that is not run.
func (s *Source) Close() {
	s.rd.Close()
	s.k.close()
}

// Run hands events over until ctx ends, and then what is left.
func (s *Source) Run(ctx context.Context) error {
	defer close(s.ended)
	stop := context.AfterFunc(ctx, func() { _ = s.rd.Flush() })
	defer stop()
	idle := 0
	for ctx.Err() == nil {
		n, err := s.read(time.Now().Add(s.patience(idle)))
		if err != nil {
			return err
		}
		if idle++; n > 0 {
			idle = 0
		}
		select {
		case f := <-s.asked:
			f()
		default:
		}
	}
	return nil
}

// patience is how long to wait for an event. Beyond a tick the kernel has to
// wake the reader.
func (s *Source) patience(idle int) time.Duration {
	if idle < quiet {
		return tick
	}
	if err := s.k.coll.Variables["reader_sleeps"].Set(uint32(1)); err != nil {
		return tick
	}
	return sleep
}

// read hands over what is in the ring, which at the deadline may be nothing; it
// says how many events there were.
func (s *Source) read(deadline time.Time) (int, error) {
	s.rd.SetDeadline(deadline)
	var rec ringbuf.Record
	err := s.rd.ReadInto(&rec)
	s.out.Lock()
	defer s.out.Unlock()
	n := 0
	for err == nil {
		s.event(rec.RawSample)
		if n++; rec.Remaining == 0 {
			break
		}
		err = s.rd.ReadInto(&rec)
	}
	s.out.Idle(Now())
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
		return n, nil
	}
	return n, fmt.Errorf("read the ring: %w", err)
}

// Full tells whether the kernel's table of exchanges should be read out now.
func (s *Source) Full() bool { return s.rows.full() }

// Flush reads the exchanges of the interval out, by way of Run while that runs.
func (s *Source) Flush() error {
	done := make(chan error, 1)
	flush := func() { done <- s.flush() }
	if err := s.rd.Flush(); err != nil {
		return fmt.Errorf("wake the reader: %w", err)
	}
	select {
	case s.asked <- flush:
	case <-s.ended:
		flush()
	}
	return <-done
}

// flush: the announcements of rows come through the ring, so it is emptied
// between the swap and the read-out.
func (s *Source) flush() error {
	s.out.Lock()
	defer s.out.Unlock()
	old, err := s.rows.swap()
	if err != nil {
		return err
	}
	var rec ringbuf.Record
	s.rd.SetDeadline(time.Unix(1, 0))
	for s.rd.ReadInto(&rec) == nil {
		s.event(rec.RawSample)
	}
	err = s.rows.drain(old, s.out.Row)
	s.meter.update()
	return err
}

// Reload takes over what can change while programs run.
func (s *Source) Reload(cfg *config.Config) error { return s.k.configure(cfg.Netflow, s.out.Split) }

// Unwanted tells the kernel that a connection's bytes are of no use. When it was
// only forgotten here, it is looked at anew as soon as it speaks again.
func (s *Source) Unwanted(id l7.ConnID, forgotten bool) {
	verdict := id.Born << 1
	if forgotten {
		verdict |= 1
	}
	delete(s.servers, id)
	if err := s.k.coll.Maps[bpfMapVerdicts].Put(id.Sock, verdict); err != nil {
		s.log.Debug("a verdict was not kept", "err", err)
	}
}

// Skip tells the kernel that a side's bytes before an offset are of no use.
func (s *Source) Skip(id l7.ConnID, side protocol.Side, until uint64) {
	dir := uint64(0)
	if (side == protocol.Client) != s.servers[id] {
		dir = 1
	}
	key, value := bpfSkipKey{Sk: id.Sock, Dir: dir}, bpfSkip{Born: id.Born, Until: until}
	if err := s.k.coll.Maps[bpfMapSkips].Put(key, value); err != nil {
		s.log.Debug("a skip was not kept", "err", err)
	}
}

// Shedding is how much is left out.
type Shedding uint32

// What is left out: nothing; connections that are parsed here; HTTP/1 too. DNS
// datagrams are always taken.
const (
	ShedNothing Shedding = iota
	ShedParsed
	ShedHTTP
)

// Shed leaves out so much from now on, with the Output's lock held. Connections
// that are left out are joined anew when they speak after it has ended; who has
// the chunks is to forget them.
func (s *Source) Shed(level Shedding) error {
	if err := s.k.coll.Variables["shed"].Set(uint32(level)); err != nil {
		return fmt.Errorf("leave payload out: %w", err)
	}
	if level != ShedNothing {
		clear(s.servers)
		clear(s.hellos)
	}
	return nil
}
