package l7

import (
	"bytes"
	"testing"

	"weft/protocol"
)

func (r *rig) open(info Info) {
	r.begun = true
	r.e.Open(id(1), info)
}

func TestDetectNeedsMore(t *testing.T) {
	r := newRig(t)
	q := message('Q', 1, 0)
	r.chunk(client, 0, q[:4])
	r.chunk(client, 4, q[4:8])
	r.chunk(server, 0, message('A', 0, 0)[:3])
	if len(r.conns) != 0 {
		t.Fatal("found too early")
	}
	r.chunk(client, 8, q[8:])
	r.chunk(server, 3, message('A', 1, 0)[3:])
	r.wantOut("1@0 9→9 200")
	if x := r.xs[0]; x.Start != 1001*ms || x.First != 1003*ms || x.End != 1005*ms {
		t.Errorf("times: %+v", x)
	}
	r.close()
}

// The first protocol that says Yes is taken.
func TestOrderOfDetection(t *testing.T) {
	r := newRig(t)
	r.e.o.Protocols = append([]protocol.Protocol{nothing{}}, r.e.o.Protocols...)
	r.chunk(client, 0, message('Q', 1, 0))
	r.close()
	if len(r.xs) != 1 || r.xs[0].Protocol != "messages" {
		t.Errorf("exchanges: %v", r.xs)
	}
}

// nothing is never sure.
type nothing struct{ messages }

func (nothing) Detect(protocol.Side, []byte, bool) protocol.Verdict { return protocol.NeedMore }

func TestNotAProtocol(t *testing.T) {
	junk := bytes.Repeat([]byte("junk"), 8)
	for name, feed := range map[string]func(*rig){
		"32 bytes of one side": func(r *rig) { r.chunk(client, 0, junk) },
		"8 chunks of one side": func(r *rig) {
			for i := range 8 {
				r.want("ended", r.ended, nil)
				r.chunk(client, i, junk[:1])
			}
		},
		"both sides": func(r *rig) {
			r.chunk(client, 0, message('Q', 1, 0)[:8]) // could be
			r.chunk(server, 0, junk)
			r.chunk(client, 8, junk)
			// It was found after all, by the client; the server breaks its rules.
		},
		"joined, both sides": func(r *rig) {
			r.open(Info{Joined: true})
			for i := range 8 {
				r.chunk(client, 100+32*i, junk)
				r.want("ended", r.ended, nil)
				r.chunk(server, 100+32*i, junk)
			}
		},
		"joined, one side": func(r *rig) {
			r.open(Info{Joined: true})
			for i := range loneJoinedPieces {
				r.want("ended", r.ended, nil)
				r.chunk(server, 100+32*i, junk)
			}
		},
		"never sure": func(r *rig) {
			r.e.o.Protocols = []protocol.Protocol{nothing{}}
			for i := range maxHeld + 1 {
				r.want("ended", r.ended, nil)
				r.chunk(client, i, junk[:1])
			}
		},
		"never sure of much": func(r *rig) {
			r.e.o.Protocols = []protocol.Protocol{nothing{}}
			r.chunk(client, 0, make([]byte, r.e.o.MaxBuffer+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			feed(r)
			r.want("ended", r.ended, []string{"1 invalid"})
			if len(r.conns) > 0 {
				return
			}
			in := r.stage("l7.chunks").In
			r.chunk(client, 10_000, message('Q', 1, 0))
			r.wantDrops("l7.connections", "not_a_protocol 1")
			if d := r.stage("l7.chunks").Dropped; d["ended"] != 1 || d["not_a_protocol"] != in {
				t.Errorf("chunks: %v of %d", d, in)
			}
			if r.e.Conns() != 1 || r.e.buffered.Load() != 0 {
				t.Errorf("%d connections with %d bytes", r.e.Conns(), r.e.buffered.Load())
			}
			r.close()
		})
	}
}

// A connection that was joined amid a message is found at the next one, of
// either side, and the bytes before it are of no interest.
func TestJoined(t *testing.T) {
	r := newRig(t)
	r.open(Info{Joined: true})
	r.chunk(server, 70_000, bytes.Repeat([]byte("body"), 500))
	r.chunk(server, 72_000, bytes.Repeat([]byte("body"), 500))
	r.chunk(client, 5000, message('Q', 7, 1))
	r.chunk(server, 74_000, message('A', 7, 1))
	r.close()
	r.wantOut("7@5000 10→10 200")
	r.wantDrops("l7.chunks", "not_a_protocol 2")
	r.wantLost()
}

// Without being told, a connection whose first bytes never come is joined.
func TestJoinedUntold(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 5000, message('Q', 7, 1))
	r.chunk(server, 7000, message('A', 7, 1))
	r.wantOut()
	r.e.Expire(r.now + 2*holeWait)
	r.wantOut("7@5000 10→10 200")
	r.wantLost("gap 12000")
	r.close()
}

// The start of one side is lost: the other is whole.
func TestStartOfAnswersLost(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, join(message('Q', 1, 1), message('Q', 2, 1)))
	r.chunk(server, 10, message('A', 2, 1))
	r.close()
	r.wantOut("2@10 10→10 200", "1@0 10→0 0")
	r.wantLost("gap 10")
}

// Bytes before a hole that were not enough to find the protocol are given up.
func TestHoleInFirstBytes(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 100)[:8])
	r.chunk(client, 109, message('Q', 2, 1))
	r.e.Expire(r.now + 2*holeWait)
	r.chunk(server, 0, message('A', 2, 1))
	r.wantOut("2@109 10→10 200")
	r.wantLost("gap 101", "cut 8")
	r.wantDrops("l7.chunks", "cut 1")
	r.close()
}

// First bytes that are not enough, and the rest of which was not captured.
func TestFirstBytesNotCaptured(t *testing.T) {
	r := newRig(t)
	r.chunkLen(client, 0, message('Q', 1, 101)[:8], 110)
	r.chunk(client, 110, message('Q', 2, 1))
	r.chunk(server, 0, message('A', 2, 1))
	r.wantOut("2@110 10→10 200")
	r.wantLost("uncaptured 102", "cut 8")
	r.close()
}

// Where there is no memory for first bytes, the connection is found later.
func TestNoMemoryForFirstBytes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxMemory = pieceCost })
	r.chunk(client, 0, message('Q', 1, 0)[:4])
	r.chunk(client, 4, message('Q', 1, 0)[4:])
	r.chunk(client, 9, message('Q', 2, 0))
	r.close()
	r.wantOut("2@9 9→0 0")
	r.wantLost("buffer_full 4")
	r.wantDrops("l7.chunks", "buffer_full 1", "not_a_protocol 1")
}

func TestClosedBeforeFound(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, []byte("Q"))
	r.close()
	r.wantDrops("l7.chunks", "undetected 1")
	r.wantDrops("l7.connections", "undetected 1")
}
