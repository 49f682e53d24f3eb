package l7

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/ledger"
	"weft/protocol"
)

const ms = int64(1e6)

// rig is an engine with all that came out of it.
type rig struct {
	t     testing.TB
	e     *Engine
	led   *ledger.Ledger
	out   []string
	xs    []*protocol.Exchange
	ended []string
	skips []string
	conns []*messageConn
	now   int64
	begun bool
}

// watched keeps the Conns that are opened, to look into them.
type watched struct {
	messages
	r *rig
}

func (w watched) Open(joined bool) protocol.Conn {
	c := w.messages.Open(joined).(*messageConn)
	w.r.conns = append(w.r.conns, c)
	return c
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	r := &rig{t: t, led: ledger.New(), now: 1000 * ms}
	o := Options{
		Protocols: []protocol.Protocol{watched{messages{"messages"}, r}, messages{"http2"}},
		Out: func(_ ConnID, _ *Info, x *protocol.Exchange) {
			r.xs = append(r.xs, x)
			r.out = append(r.out, show(x))
		},
		Ended: func(id ConnID, why protocol.End) { r.ended = append(r.ended, fmt.Sprintf("%d %s", id.Sock, why)) },
		Skip: func(id ConnID, sd protocol.Side, until uint64) {
			r.skips = append(r.skips, fmt.Sprintf("%d/%d until %d", id.Sock, sd, until))
		},
	}
	for _, f := range change {
		f(&o)
	}
	r.e = New(o, r.led)
	t.Cleanup(r.check)
	return r
}

// show writes an exchange without its times.
func show(x *protocol.Exchange) string {
	return fmt.Sprintf("%s@%d %d→%d %d", x.Path, x.ReqOffset, x.ReqBytes, x.RespBytes, x.Status)
}

func id(n uint64) ConnID { return ConnID{Sock: n} }

// chunk gives the engine bytes of connection 1, 1 ms after the last.
func (r *rig) chunk(sd protocol.Side, off int, data []byte) { r.chunkLen(sd, off, data, len(data)) }

func (r *rig) chunkLen(sd protocol.Side, off int, data []byte, size int) {
	if !r.begun {
		r.e.Open(id(1), Info{})
		r.begun = true
	}
	r.now += ms
	own := slices.Clone(data)
	r.e.Chunk(&Chunk{Conn: id(1), Side: sd, Offset: uint64(off), Data: own, Len: uint64(size), Time: r.now})
	clear(own) // valid during the call only
}

func (r *rig) close() { r.e.Close(id(1), r.now+ms) }

func (r *rig) want(what string, got, want []string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func (r *rig) wantOut(want ...string) { r.t.Helper(); r.want("exchanges", r.out, want) }

// wantDrops holds the drops of a stage against "reason n", sorted.
func (r *rig) wantDrops(stage string, want ...string) {
	r.t.Helper()
	var got []string
	for reason, n := range r.stage(stage).Dropped {
		got = append(got, fmt.Sprintf("%s %d", reason, n))
	}
	slices.Sort(got)
	r.want("drops of "+stage, got, want)
}

// wantLost holds the lost bytes against "reason n", in the order of the reasons.
func (r *rig) wantLost(want ...string) {
	r.t.Helper()
	var got []string
	for why := range lossReasons {
		if n := r.e.lost[why].Load(); n > 0 {
			got = append(got, fmt.Sprintf("%s %d", why, n))
		}
	}
	r.want("lost bytes", got, want)
}

func (r *rig) stage(name string) ledger.StageCounts {
	for _, s := range r.led.Snapshot() {
		if s.Stage == name {
			return s
		}
	}
	r.t.Fatalf("no stage %s", name)
	return ledger.StageCounts{}
}

// check holds what must be true after every test: the sums agree, the contract
// of Conn was kept, and when all is closed nothing is left.
func (r *rig) check() {
	held := 0
	for _, c := range r.e.conns {
		held += len(c.held)
	}
	for _, s := range r.led.Snapshot() {
		rest := map[string]int64{"l7.chunks": int64(held), "l7.connections": r.e.live.Load()}[s.Stage]
		for _, n := range s.Dropped {
			rest += n
		}
		if s.In != s.Out+rest {
			r.t.Errorf("%s: in %d, out %d, dropped or waiting %d: %v", s.Stage, s.In, s.Out, rest, s.Dropped)
		}
	}
	for _, c := range r.conns {
		for _, f := range c.faults {
			r.t.Errorf("contract: %s", f)
		}
	}
	if r.e.Conns() == 0 && (r.e.buffered.Load() != 0 || r.e.ignored.Load() != 0 || r.e.age.newer != &r.e.age) {
		r.t.Errorf("left behind: %d bytes, %d ignored", r.e.buffered.Load(), r.e.ignored.Load())
	}
	if n := int64(len(r.e.conns)); n != r.e.live.Load()+r.e.ignored.Load() {
		r.t.Errorf("%d connections, %d live, %d ignored", n, r.e.live.Load(), r.e.ignored.Load())
	}
}
