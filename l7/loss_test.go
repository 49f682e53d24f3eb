package l7

import (
	"testing"

	"weft/ledger"
	"weft/protocol"
	"weft/protocol/http1"
)

// A hole that is not filled is given up after a time, and the exchanges behind
// it are right.
func TestHoleGivenUpByTime(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 1))
	r.chunk(server, 0, message('A', 1, 1))
	r.chunk(client, 20, message('Q', 3, 1)) // 2 is lost
	r.chunk(server, 10, message('A', 2, 1))
	r.chunk(server, 20, message('A', 3, 1))
	r.wantOut("1@0 10→10 200")
	r.e.Expire(r.now + holeWait/2)
	r.wantOut("1@0 10→10 200")
	r.e.Expire(r.now + holeWait + 1)
	r.wantOut("1@0 10→10 200", "3@20 10→10 200")
	r.wantLost("gap 10")
	r.chunk(client, 10, message('Q', 2, 1))
	r.wantDrops("l7.chunks", "late 1")
	r.close()
}

func TestHoleGivenUpByTimeOfChunks(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 1))
	r.chunk(client, 20, message('Q', 3, 1))
	r.now += holeWait
	r.chunk(server, 0, message('A', 3, 1))
	r.wantOut("3@20 10→10 200")
	r.wantLost("gap 10")
	r.close()
}

func TestHoleGivenUpByCount(t *testing.T) {
	r := newRig(t)
	for i := range maxHeld + 2 {
		if i != 1 {
			r.chunk(client, 10*i, message('Q', i, 1))
		}
	}
	r.chunk(server, 0, message('A', maxHeld+1, 1))
	r.wantOut("65@650 10→10 200")
	r.wantLost("gap 10")
	r.e.Close(id(1), r.now)
	if len(r.out) != maxHeld+1 {
		t.Errorf("%d exchanges, want %d", len(r.out), maxHeld+1)
	}
}

// What waits for the lost bytes is lost with them.
func TestHoleCutsAMessage(t *testing.T) {
	r := newRig(t)
	q := message('Q', 1, 101) // wanted whole
	r.chunk(client, 0, q[:50])
	r.chunk(client, 60, q[60:])
	r.chunk(client, 110, message('Q', 2, 1))
	r.chunk(server, 0, message('A', 2, 1))
	r.close()
	r.wantOut("2@110 10→10 200")
	r.wantLost("gap 10", "cut 50")
	if n := r.conns[0].lost; n != [2]uint64{60, 0} {
		t.Errorf("Lost: %v", n)
	}
}

func TestSkip(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 100_000)[:1009])
	r.want("skips", r.skips, []string{"1/0 until 100009"})
	r.chunk(client, 1009, make([]byte, 500)) // sent though not needed
	r.chunk(client, 99_000, make([]byte, 1009))
	r.chunk(client, 100_009, message('Q', 2, 1000)[:9])
	r.chunk(client, 500, make([]byte, 600)) // again, partly skipped
	// The skip ends inside this one.
	r.chunk(client, 100_500, join(make([]byte, 518), message('Q', 3, 0)))
	r.chunk(server, 0, join(message('A', 1, 0), message('A', 2, 0), message('A', 3, 0)))
	r.close()
	r.wantOut("1@0 100009→9 200", "2@100009 1009→9 200", "3@101018 9→9 200")
	r.wantDrops("l7.chunks", "duplicate 1", "skipped 2")
	r.wantLost()
	if len(r.skips) != 1 {
		t.Errorf("a hint for a short skip: %v", r.skips)
	}
}

// A hole that a skip covers in part: only the rest is lost.
func TestSkipIntoAHole(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 1000)[:100]) // skips to 1009
	r.chunk(client, 1029, message('Q', 2, 0))       // 20 bytes are missing
	r.chunk(server, 0, message('A', 2, 0))
	r.wantOut()
	r.close()
	r.wantOut("2@1029 9→9 200", "1@0 1009→0 0")
	r.wantLost("gap 20")
	if n := r.conns[0].lost[client]; n != 20 {
		t.Errorf("Lost %d, want 20", n)
	}
}

// Bytes that were not captured are lost at once, unless they are skipped.
func TestCaptureLimit(t *testing.T) {
	r := newRig(t)
	r.chunkLen(client, 0, message('Q', 1, 1000)[:64], 1009)
	r.chunkLen(client, 1009, message('Q', 2, 1001)[:64], 1010)
	r.chunkLen(client, 2019, message('Q', 3, 1000)[:64], 2000) // 991 behind it are another's
	r.chunkLen(client, 4019, nil, 500)
	r.chunk(client, 4519, message('Q', 5, 0))
	r.chunk(server, 0, join(message('A', 1, 0), message('A', 2, 0), message('A', 3, 0), message('A', 5, 0)))
	r.close()
	r.wantOut("1@0 1009→9 200", "3@2019 1009→9 200", "5@4519 9→9 200")
	r.wantLost("uncaptured 2437", "cut 64") // 946 of 2, 991 behind 3, 500
	r.wantDrops("l7.chunks", "uncaptured 1")
	if n := r.conns[0].lost[client]; n != 64+2437 {
		t.Errorf("Lost %d", n)
	}
}

// A chunk that waits and was captured in part.
func TestCaptureLimitBehindAHole(t *testing.T) {
	r := newRig(t)
	q := message('Q', 1, 1000)
	r.chunkLen(client, 400, q[400:410], 609)
	r.chunk(client, 0, q[:100])
	r.chunk(client, 1009, message('Q', 2, 0))
	r.chunk(server, 0, join(message('A', 1, 0), message('A', 2, 0)))
	r.close()
	r.wantOut("1@0 1009→9 200", "2@1009 9→9 200")
	r.wantLost()
}

func TestBufferFull(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBuffer = 1000 })
	q := message('Q', 1, 5001)
	for i := 0; i < len(q); i += 501 {
		r.chunk(client, i, q[i:min(i+501, len(q))])
	}
	r.chunk(client, 5010, message('Q', 2, 0))
	r.chunk(server, 0, message('A', 2, 0))
	r.wantOut("2@5010 9→9 200")
	r.wantLost("buffer_full 501") // the rest was looked through for a beginning
	r.chunk(client, 5019, message('Q', 3, 2001)[:2009])
	r.wantLost("buffer_full 2510")
	r.close()
}

// Bytes that wait behind a hole are bounded too, per side and in all.
func TestWaitingIsBounded(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"side": func(o *Options) { o.MaxBuffer = 1000 },
		"all":  func(o *Options) { o.MaxMemory = 1000 },
	} {
		r := newRig(t, change)
		r.chunk(client, 0, message('Q', 1, 0))
		r.chunk(client, 100, message('Q', 2, 500))
		if n := len(r.e.conns[id(1)].held); n != 1 {
			t.Errorf("%s: %d held", name, n)
		}
		r.chunk(client, 609, message('Q', 3, 500))
		if n := len(r.e.conns[id(1)].held); n != 0 {
			t.Errorf("%s: %d held", name, n)
		}
		r.wantLost("gap 91")
		r.close()
		r.wantOut("1@0 9→0 0", "2@100 509→0 0", "3@609 509→0 0")
	}
}

// Every subset of lost chunks: an exchange is there exactly when the heads of
// its messages were not lost (bodies are skipped), and what was lost is counted.
func TestEveryLoss(t *testing.T) {
	type part struct {
		sd   protocol.Side
		off  int
		data []byte
		id   int // whose head it holds, 0 for a body
	}
	var parts []part
	var off [2]int
	for i := 1; i <= 3; i++ {
		for sd, kind := range []byte("QA") {
			m := message(kind, i, 40)
			parts = append(parts, part{protocol.Side(sd), off[sd], m[:20], i}, part{protocol.Side(sd), off[sd] + 20, m[20:], 0})
			off[sd] += len(m)
		}
	}
	// A last exchange shows that all before it is settled.
	for lost := range 1 << len(parts) {
		r := newRig(t)
		heads := map[int]int{}
		for i, p := range parts {
			if lost>>i&1 == 0 {
				r.chunk(p.sd, p.off, p.data)
				heads[p.id]++
			}
		}
		r.now += 2 * holeWait
		r.chunk(client, off[client], message('Q', 9, 0))
		r.chunk(server, off[server], message('A', 9, 0))
		r.close()
		var got []string
		for _, x := range r.xs {
			if x.Status != 0 {
				got = append(got, show(x))
			}
		}
		var want []string
		for i, x := range []string{"1@0 49→49 200", "2@49 49→49 200", "3@98 49→49 200"} {
			if heads[i+1] == 2 {
				want = append(want, x)
			}
		}
		r.want("exchanges", got, append(want, "9@147 9→9 200"))
		if t.Failed() {
			t.Fatalf("lost: %b", lost)
		}
	}
}

// A loss that nothing follows is known when the source says where the streams
// ended: what waited for it is no request without an answer.
func TestLostTail(t *testing.T) {
	led := ledger.New()
	var out []*protocol.Exchange
	e := New(Options{
		Protocols: []protocol.Protocol{http1.New(http1.Options{})},
		Out:       func(_ ConnID, _ *Info, x *protocol.Exchange) { out = append(out, x) },
	}, led)
	const ask, answer = "GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"
	chunk := func(side protocol.Side, offset int, text string, at int64) {
		e.Chunk(&Chunk{
			Conn: ConnID{Sock: 1}, Side: side, Offset: uint64(offset), Data: []byte(text), Len: uint64(len(text)), Time: at,
		})
	}
	e.Open(ConnID{Sock: 1}, Info{})
	chunk(protocol.Client, 0, ask, 1)
	chunk(protocol.Server, 0, answer, 2)
	chunk(protocol.Client, len(ask), ask, 3)
	e.Ends(ConnID{Sock: 1}, 2*uint64(len(ask)), 2*uint64(len(answer)))
	e.Close(ConnID{Sock: 1}, 4)
	if len(out) != 1 || out[0].Status != 204 {
		t.Errorf("%d exchanges, want the one whose answer came", len(out))
	}
	if got := e.lost[gap].Load(); got != int64(len(answer)) {
		t.Errorf("%d bytes lost, want %d", got, len(answer))
	}
	if got := e.dropped.Load(); got != 1 {
		t.Errorf("%d requests dropped, want 1", got)
	}
}
