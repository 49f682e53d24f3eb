package l7

import (
	"testing"

	"weft/protocol"
)

func TestUpgraded(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, join(message('Q', 1, 1), message('Q', 2, 1)))
	r.chunk(server, 0, join(message('W', 1, 1), []byte("frames")))
	r.want("ended", r.ended, []string{"1 upgraded"})
	r.wantOut("1@0 10→10 200", "2@10 10→0 0")
	r.chunk(client, 20, []byte("frames"))
	r.wantDrops("l7.chunks", "ended 1")
	r.wantDrops("l7.connections", "upgraded 1")
	r.close()
	r.want("ended", r.ended, []string{"1 upgraded"})
}

// The exchange that answered 101 is handed out once, with the response of the
// new protocol. What the old one left is fed again.
func TestUpgradedH2C(t *testing.T) {
	for _, cut := range []int{20, 25, 30} {
		r := newRig(t)
		r.chunk(client, 0, join(message('Q', 1, 1), message('Q', 5, 1)[:4]))
		r.chunk(server, 0, message('A', 7, 1))
		answer := join(message('U', 1, 1), message('A', 1, 5), message('A', 5, 3))
		r.chunk(server, 10, answer[:cut-10])
		r.chunk(client, 14, message('Q', 5, 1)[4:])
		r.chunk(server, cut, answer[cut-10:])
		r.close()
		r.wantOut("1@0 10→14 200", "5@10 10→12 200")
		r.wantDrops("l7.exchanges", "upgraded_h2c 1")
		r.want("ended", r.ended, nil)
		if r.xs[1].Protocol != "http2" {
			t.Errorf("protocol %s", r.xs[1].Protocol)
		}
	}
}

func TestUpgradedH2CWithoutHTTP2(t *testing.T) {
	r := newRig(t)
	r.e.o.Protocols = r.e.o.Protocols[:1]
	r.chunk(client, 0, message('Q', 1, 1))
	r.chunk(server, 0, message('U', 1, 1))
	r.wantOut("1@0 10→10 101")
	r.want("ended", r.ended, []string{"1 upgraded_h2c"})
	r.close()
}

func TestInvalid(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, join(message('Q', 1, 1), []byte("?")))
	r.want("ended", r.ended, []string{"1 invalid"})
	r.wantOut("1@0 10→0 0")
	r.wantDrops("l7.connections", "invalid 1")
	r.close()
	if r.e.Conns() != 0 {
		t.Error("not forgotten")
	}
}

func TestPending(t *testing.T) {
	r := newRig(t)
	r.open(Info{})
	r.e.Pending(id(1), &protocol.Exchange{Protocol: "messages", Path: "7", ReqOffset: 300, ReqBytes: 20, Start: 5})
	r.chunk(server, 9000, message('A', 7, 1))
	r.chunk(client, 320, message('Q', 8, 1))
	r.chunk(server, 9010, message('A', 8, 1))
	r.wantOut("7@300 20→10 200", "8@320 10→10 200")
	// The fast path went on for a while, in which 9 was answered, and hands over
	// again when the answer to 11 has begun.
	r.chunk(client, 330, message('Q', 9, 1))
	r.chunk(server, 9020, message('A', 11, 1)[:5])
	r.e.Pending(id(1), &protocol.Exchange{Protocol: "messages", Path: "10", ReqOffset: 5000, ReqBytes: 20})
	r.e.Pending(id(1), &protocol.Exchange{Protocol: "messages", Path: "11", ReqOffset: 5020, ReqBytes: 20})
	r.chunk(server, 9025, join(message('A', 11, 1)[5:], message('A', 10, 1)))
	r.chunk(client, 5040, message('Q', 12, 0))
	r.close()
	r.wantOut("7@300 20→10 200", "8@320 10→10 200", "9@330 10→0 0",
		"11@5020 20→10 200", "10@5000 20→10 200", "12@5040 9→0 0")
	r.wantLost()
}

// Chunks that came before the request are fed when the protocol is known.
func TestPendingBehindChunks(t *testing.T) {
	r := newRig(t)
	r.open(Info{Joined: true})
	r.chunk(server, 100, message('A', 7, 1)[:5])
	r.e.Pending(id(1), &protocol.Exchange{Protocol: "messages", Path: "7", ReqBytes: 20, Start: 5})
	r.chunk(server, 105, message('A', 7, 1)[5:])
	r.wantOut("7@0 20→10 200")
	r.close()
}

func TestPendingRefused(t *testing.T) {
	r := newRig(t)
	x := &protocol.Exchange{Protocol: "messages"}
	r.e.Pending(id(2), x)
	r.chunk(client, 0, make([]byte, 32)) // of no protocol
	r.e.Pending(id(1), x)
	r.e.Open(id(3), Info{})
	r.e.Pending(id(3), &protocol.Exchange{Protocol: "gopher"})
	r.e.Pending(id(3), x)
	r.e.Pending(id(3), &protocol.Exchange{Protocol: "http2"})
	r.wantDrops("l7.exchanges", "not_adopted 3", "unknown_conn 1")
	r.e.Close(id(3), r.now)
}

func TestConnsFull(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxConns = 3 })
	for i := range uint64(3) {
		r.e.Open(id(i), Info{})
		r.e.Chunk(&Chunk{Conn: id(i), Data: message('Q', int(i), 0), Time: int64(i)})
	}
	r.e.Chunk(&Chunk{Conn: id(0), Data: message('Q', 5, 0), Offset: 9, Time: 9})
	r.e.Open(id(3), Info{})
	r.want("ended", r.ended, []string{"1 conns_full"})
	r.wantOut("1@0 9→0 0")
	r.wantDrops("l7.connections", "conns_full 1")
	if r.e.Conns() != 3 {
		t.Errorf("%d connections", r.e.Conns())
	}
	r.e.Chunk(&Chunk{Conn: id(1), Data: []byte("x"), Time: 10})
	r.wantDrops("l7.chunks", "unknown_conn 1")
	for i := range uint64(4) {
		r.e.Close(id(i), 20)
	}
}

func TestIdle(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 0))
	r.e.Open(id(2), Info{})
	r.e.Expire(r.now + idleAfter)
	r.wantOut()
	r.now += idleAfter
	r.chunk(client, 9, message('Q', 2, 0))
	r.e.Expire(r.now + idleAfter)
	r.e.Expire(r.now + idleAfter + 1)
	r.want("ended", r.ended, []string{"2 idle", "1 idle"})
	r.wantOut("1@0 9→0 0", "2@9 9→0 0")
	if r.e.Conns() != 0 {
		t.Errorf("%d connections", r.e.Conns())
	}
}

func TestOddChunks(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, nil)
	r.e.Chunk(&Chunk{Conn: id(1), Side: 2, Data: []byte("Q")})
	r.e.Chunk(&Chunk{Conn: id(1), Offset: 1 << 63, Data: []byte("Q")})
	r.e.Chunk(&Chunk{Conn: id(1), Len: 1 << 63, Data: []byte("Q")})
	r.e.Chunk(&Chunk{Conn: id(1), Len: 1, Data: message('Q', 1, 0)}) // Len is too small
	r.wantDrops("l7.chunks", "empty 1", "malformed 3")
	r.close()
	r.wantOut("1@0 9→0 0")
}

func TestOpenTwice(t *testing.T) {
	r := newRig(t)
	var got uint32
	r.e.o.Out = func(_ ConnID, info *Info, _ *protocol.Exchange) { got = info.Flow.PID }
	r.chunk(client, 0, message('Q', 1, 0))
	info := Info{}
	info.Flow.PID = 7
	r.e.Open(id(1), info)
	r.chunk(server, 0, message('A', 1, 0))
	if got != 7 {
		t.Errorf("pid %d", got)
	}
	r.close()
}

func TestSortByTime(t *testing.T) {
	cs := []Chunk{{Time: 3}, {Time: 1, TID: 1}, {Time: 2}, {Time: 1, TID: 2}}
	SortByTime(cs)
	for i, want := range []Chunk{{Time: 1, TID: 1}, {Time: 1, TID: 2}, {Time: 2}, {Time: 3}} {
		if cs[i].Time != want.Time || cs[i].TID != want.TID {
			t.Errorf("%d: %+v", i, cs[i])
		}
	}
}
