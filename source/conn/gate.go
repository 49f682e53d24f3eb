package conn

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// gate closes the UDP door that every socket call runs through when no UDP
// socket has existed for an interval, and opens it again at the first one, so
// that a machine without one pays nothing on its TCP data path. It is nil on
// kernels where UDP has functions of its own to hook.
//
// The first datagrams of a socket that is made while the gate is closed can
// pass before it is open (about a millisecond); each such socket is counted as
// udp_door_opening.
type gate struct {
	k     *kernel
	log   *slog.Logger
	walks walks
	born  *ebpf.Program
	watch link.Link // of born, while the gate is closed
	rd    *ringbuf.Reader
	wake  chan struct{}
	// wait is how many quiet intervals to let pass before the file tables are
	// walked again; quiet is how many have passed.
	wait, quiet int
}

// shared names the programs that TCP runs through too.
func shared() []string { return []string{"udp_send_length", "udp_recv_length"} }

// newGate returns nil when the open UDP door is not the shared one.
func newGate(k *kernel, w walks, log *slog.Logger) (*gate, error) {
	if k.udp.programs["udp_send_length"] == nil || w.seed == nil {
		return nil, nil
	}
	progs, err := k.load([]string{"udp_born"})
	if err != nil {
		return nil, err
	}
	rd, err := ringbuf.NewReader(k.base.Maps["udp_births"])
	if err != nil {
		progs["udp_born"].Close()
		return nil, fmt.Errorf("read UDP births: %w", err)
	}
	g := &gate{k: k, log: log, walks: w, born: progs["udp_born"], rd: rd, wake: make(chan struct{}, 1)}
	go g.listen()
	return g, nil
}

func (g *gate) listen() {
	for {
		if _, err := g.rd.Read(); errors.Is(err, os.ErrClosed) {
			return
		}
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

// wakes is closed to nobody: a nil gate never wakes.
func (g *gate) wakes() <-chan struct{} {
	if g == nil {
		return nil
	}
	return g.wake
}

// open attaches the shared programs again.
func (g *gate) open() error {
	if g.watch == nil {
		return nil
	}
	for _, name := range shared() {
		l, err := attachTracing(name, g.k.udp.programs[name])
		if err != nil {
			return fmt.Errorf("open the UDP door: %w", err)
		}
		g.k.udp.links[name] = l
	}
	err := g.watch.Close()
	g.watch, g.quiet, g.wait = nil, 0, 0
	return err
}

// closeIfIdle is called at the end of an interval; active tells whether it had
// UDP traffic. After a quiet one the door closes if no UDP socket exists. To
// know that takes a walk of all file tables, so where sockets exist but are
// silent, the looks become rarer: after 1, 2, 4 … 64 quiet intervals.
func (g *gate) closeIfIdle(active bool) error {
	if g == nil || g.watch != nil {
		return nil
	}
	if active {
		g.quiet, g.wait = 0, 0
		return nil
	}
	if g.quiet++; g.quiet <= g.wait {
		return nil
	}
	g.quiet, g.wait = 0, min(2*g.wait+1, 63)
	return g.shut()
}

// shut closes the door if no UDP socket exists. The watch stands before they
// are counted, so that none is born unseen.
func (g *gate) shut() error {
	watch, err := attachCgroup(g.born, ebpf.AttachCGroupInetSockCreate)
	if err != nil {
		return fmt.Errorf("watch for UDP sockets: %w", err)
	}
	n, err := g.k.udpSockets(g.walks)
	if err != nil || n > 0 {
		return errors.Join(err, watch.Close())
	}
	g.watch = watch
	var errs []error
	for _, name := range shared() {
		errs = append(errs, g.k.udp.links[name].Close())
		delete(g.k.udp.links, name)
	}
	return errors.Join(errs...)
}

// close frees the gate; the door is left as it is.
func (g *gate) close() {
	if g == nil {
		return
	}
	if g.watch != nil {
		g.watch.Close()
	}
	g.rd.Close()
	g.born.Close()
}

// udpSockets counts open descriptors of UDP sockets.
func (k *kernel) udpSockets(w walks) (uint64, error) {
	found := k.base.Variables["udp_found"]
	if err := found.Set(uint64(0)); err != nil {
		return 0, err
	}
	if err := k.seedAs(w, seedUDP); err != nil {
		return 0, err
	}
	var n uint64
	err := found.Get(&n)
	return n, err
}
