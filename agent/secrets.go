package agent

import (
	"net/netip"
	"time"

	"weft/ledger"
	"weft/record"
)

const (
	// tieWait is how long after its hello a connection's plaintext may show up:
	// it is tied to its socket at its next record.
	tieWait = 5 * time.Second
	// maxSecrets bounds the connections that are waited for.
	maxSecrets = 1 << 14
)

// secrets compares the TLS connections that were seen on the wire with those
// whose plaintext is read, so that what is missed is counted: nobody can count
// the requests in it.
type secrets struct {
	led *ledger.Stage
	// waiting is when the hello of a connection was seen, opened when its
	// plaintext was, whichever came first.
	waiting, opened map[ends]int64
}

// ends name a connection as both sources do.
type ends struct {
	src, dst         netip.Addr
	srcPort, dstPort record.Port
	netns            uint32
}

func endsOf(f record.FlowKey) ends { return ends{f.Src, f.Dst, f.SrcPort, f.DstPort, f.NetNS} }

func newSecrets(led *ledger.Ledger) *secrets {
	return &secrets{led: led.Stage("tls.connections"), waiting: map[ends]int64{}, opened: map[ends]int64{}}
}

// hello takes a connection that began on the wire, at a time in monotonic ns.
func (s *secrets) hello(f record.FlowKey, at int64) {
	id := endsOf(f)
	s.led.In(1)
	if _, ok := s.opened[id]; ok {
		delete(s.opened, id)
		s.led.Out(1)
		return
	}
	if len(s.waiting) >= maxSecrets {
		s.led.Drop("not_followed", 1)
		return
	}
	s.waiting[id] = at
}

// open takes a connection whose plaintext is read; joined: not from its start.
func (s *secrets) open(f record.FlowKey, joined bool, at int64) {
	id := endsOf(f)
	_, known := s.waiting[id]
	delete(s.waiting, id)
	switch {
	case known && joined:
		s.led.Drop("read_late", 1)
	case known:
		s.led.Out(1)
	case !joined && len(s.opened) < maxSecrets:
		s.opened[id] = at
	}
}

// expire gives up those that are older than tieWait.
func (s *secrets) expire(now int64) {
	for id, at := range s.waiting {
		if now-at > int64(tieWait) {
			delete(s.waiting, id)
			s.led.Drop("not_read", 1)
		}
	}
	for id, at := range s.opened {
		if now-at > int64(tieWait) {
			delete(s.opened, id)
		}
	}
}
