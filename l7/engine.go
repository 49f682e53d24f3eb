package l7

import (
	"math"
	"slices"
	"sync/atomic"

	"weft/ledger"
	"weft/protocol"
)

// Why a connection ended, beyond what a protocol says itself. The connection is
// forgotten: it may be opened anew, as joined.
const (
	// ConnsFull: MaxConns were open and this one had idled longest.
	ConnsFull protocol.End = "conns_full"
	// Idle: no chunk came for 15 minutes.
	Idle protocol.End = "idle"
)

const (
	idleAfter = 15 * 60 * 1e9 // ns
	maxOffset = 1 << 63       // no stream gets here; sums of two offsets cannot overflow
	worthSkip = 16 << 10      // bytes; a smaller Skip is not worth a hint
)

// Options is what an Engine is made of.
type Options struct {
	// Protocols in the order of detection.
	Protocols []protocol.Protocol
	// MaxConns is how many connections are kept; 0: 65536.
	MaxConns int
	// MaxBuffer is how many bytes of one side may wait, out of order or not
	// consumed; 0: 256 KiB.
	MaxBuffer int
	// MaxMemory is how many bytes may wait in all connections; 0: 64 MiB.
	MaxMemory int64
	// Out takes each exchange with its connection; info is valid during the call.
	Out func(id ConnID, info *Info, x *protocol.Exchange)
	// Ended tells, once, that nothing more of the connection is wanted; nil is
	// allowed. It is not called for a connection that Close ended.
	Ended func(id ConnID, why protocol.End)
	// Skip hints that the bytes of a side before the offset are not needed (long
	// bodies, > 16 KiB); nil is allowed.
	Skip func(id ConnID, side protocol.Side, until uint64)
}

// Engine turns chunks into exchanges. It is used by one goroutine at a time;
// the functions in Options are called by that goroutine and must not call back.
type Engine struct {
	o     Options
	conns map[ConnID]*conn
	// age links all connections, the one that idled longest first.
	age conn
	// holding are connections that may hold pieces.
	holding []*conn
	// now is the newest time that was told.
	now int64
	// cur is the connection that is fed; last its newest exchange, which is
	// handed out when it is known that the Conn goes on.
	cur  *conn
	last *protocol.Exchange
	emit protocol.Emit
	// free are buffers without an owner; scratch is for joining pieces.
	free    [][]byte
	scratch []byte

	connections, chunks, exchanges *ledger.Stage
	live, ignored, buffered        atomic.Int64
	lost                           [lossReasons]atomic.Int64
	repeated, orphans, dropped     atomic.Int64
}

// New returns an engine that counts in the ledger: stages l7.connections,
// l7.chunks and l7.exchanges and the gauges of README.md.
func New(o Options, led *ledger.Ledger) *Engine {
	if o.MaxConns <= 0 {
		o.MaxConns = 65536
	}
	if o.MaxBuffer <= 0 {
		o.MaxBuffer = 256 << 10
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = 64 << 20
	}
	e := &Engine{o: o, conns: map[ConnID]*conn{}}
	e.age.older, e.age.newer = &e.age, &e.age
	e.emit = e.take
	e.meter(led)
	return e
}

// Conns is how many connections are remembered, ignored ones included.
func (e *Engine) Conns() int { return len(e.conns) }

// Open makes a connection known, before its first chunk. For one that is known
// already, what is known of it is replaced.
func (e *Engine) Open(id ConnID, info Info) {
	if c := e.conns[id]; c != nil {
		c.info = info
		return
	}
	if len(e.conns) >= e.o.MaxConns {
		e.evict(e.age.newer, ConnsFull)
	}
	c := &conn{id: id, info: info, joined: info.Joined, seen: e.now}
	e.conns[id] = c
	e.append(c)
	e.connections.In(1)
	e.live.Add(1)
}

func (e *Engine) named(name string) protocol.Protocol {
	for _, p := range e.o.Protocols {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// Chunk takes a chunk. Those of one connection must come in the order of their
// times; within a side, they may be out of order by a few.
func (e *Engine) Chunk(k *Chunk) {
	e.chunks.In(1)
	e.now = max(e.now, k.Time)
	c := e.conns[k.Conn]
	if c == nil {
		e.chunks.Drop("unknown_conn", 1)
		return
	}
	c.seen = e.now
	e.renew(c)
	p := piece{side: k.Side, off: k.Offset, data: k.Data, size: max(k.Len, uint64(len(k.Data))), at: k.Time}
	switch {
	case c.dead:
		e.chunks.Drop("ended", 1)
		return
	case p.size == 0:
		e.chunks.Drop("empty", 1)
		return
	case p.side > protocol.Server || p.off >= maxOffset || p.size >= maxOffset:
		e.chunks.Drop("malformed", 1)
		return
	}
	s := &c.sides[p.side]
	s.begin(p.off, c.joined)
	if next := s.next(); p.end() <= next || c.parser != nil && len(c.held) == 0 && p.off <= next {
		e.pass(c, &p)
		return
	}
	e.hold(c, p)
	e.settle(c, k.Time)
	e.own(c)
}

// Close ends a connection at a time in monotonic ns, after its last chunk.
func (e *Engine) Close(id ConnID, at int64) {
	if c := e.conns[id]; c != nil {
		e.finish(c, at, "")
		e.forget(c)
	}
}

// Ends tells, before Close, where the streams of both sides ended, as far as the
// source knows: what lies between there and the last chunk is lost.
func (e *Engine) Ends(id ConnID, client, server uint64) {
	if c := e.conns[id]; c != nil && !c.dead {
		c.ends = [2]uint64{client, server}
	}
}

// Expire is called about once a second with the monotonic time in ns: it gives
// up holes that waited too long and drops connections that idled.
func (e *Engine) Expire(now int64) {
	e.now = max(e.now, now)
	still := e.holding[:0]
	for _, c := range e.holding {
		e.settle(c, now)
		c.listed = len(c.held) > 0
		if c.listed {
			still = append(still, c)
		}
	}
	clear(e.holding[len(still):])
	e.holding = still
	for c := e.age.newer; c != &e.age && now-c.seen > idleAfter; c = e.age.newer {
		e.evict(c, Idle)
	}
}

// evict ends a connection that nobody closed, and forgets it.
func (e *Engine) evict(c *conn, why protocol.End) {
	if !c.dead {
		e.finish(c, c.seen, string(why))
		if e.o.Ended != nil && !c.dead {
			e.o.Ended(c.id, why)
		}
	}
	e.forget(c)
}

// Shed forgets all connections, as Close would end them: their source leaves
// them out from now on. What is told anew later is joined.
func (e *Engine) Shed() {
	for c := e.age.newer; c != &e.age; c = e.age.newer {
		if !c.dead {
			e.finish(c, c.seen, "shed")
		}
		e.forget(c)
	}
}

// finish feeds what is held, holes or not, and closes the Conn. The connection
// counts as dropped for the reason, "" for none.
func (e *Engine) finish(c *conn, at int64, why string) {
	e.settle(c, math.MaxInt64)
	if c.dead {
		return
	}
	e.unholdAll(c, "undetected")
	if c.parser != nil {
		e.loseTails(c)
		e.close(c, at)
	} else if why == "" {
		why = "undetected"
	}
	if why == "" {
		e.connections.Out(1)
	} else {
		e.connections.Drop(why, 1)
	}
}

// loseTails: bytes that were sent and never came, with none behind them.
func (e *Engine) loseTails(c *conn) {
	for sd, end := range c.ends {
		s := &c.sides[sd]
		if next := s.next(); s.known && end > next {
			e.cur = c
			e.lose(c, protocol.Side(sd), end-next, gap)
		}
	}
}

// forget removes what is left of a connection.
func (e *Engine) forget(c *conn) {
	for i := range c.sides {
		s := &c.sides[i]
		e.lost[unfinished].Add(int64(len(s.buf)))
		e.release(s)
	}
	if c.dead {
		e.ignored.Add(-1)
	} else {
		e.live.Add(-1)
	}
	c.unlink()
	delete(e.conns, c.id)
}

// SortByTime puts chunks in the order of their times; those of the same time
// stay as they are. It is for sources that read several buffers.
func SortByTime(cs []Chunk) {
	slices.SortStableFunc(cs, func(a, b Chunk) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
}
