package l7

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"weft/protocol"
)

// conversation is a random exchange of messages, as chunks in the order of time.
func conversation(rnd *rand.Rand) []Chunk {
	var cs []Chunk
	var off [2]uint64
	at := int64(1)
	send := func(sd protocol.Side, b []byte) {
		for len(b) > 0 {
			n := min(len(b), 1+rnd.IntN(60))
			cs = append(cs, Chunk{Conn: id(1), Side: sd, Offset: off[sd], Data: b[:n], Len: uint64(n), Time: at * ms})
			off[sd] += uint64(n)
			b = b[n:]
			at++
		}
	}
	for i, waiting := 0, 0; i < 20; {
		for range 1 + rnd.IntN(3) {
			send(client, message('Q', i, rnd.IntN(120)))
			i++
		}
		for ; waiting < i; waiting++ {
			send(server, message('A', waiting, rnd.IntN(120)))
		}
	}
	return cs
}

// disturb cuts, repeats and reorders chunks of one side between two of the
// other, as retransmission and several queues do.
func disturb(rnd *rand.Rand, cs []Chunk) []Chunk {
	var out []Chunk
	for len(cs) > 0 {
		n := 1
		for n < len(cs) && cs[n].Side == cs[0].Side {
			n++
		}
		var run []Chunk
		for _, c := range cs[:n] {
			run = append(run, disturbOne(rnd, c)...)
		}
		for i := range run { // by at most three places
			j := min(len(run)-1, i+rnd.IntN(4))
			run[i], run[j] = run[j], run[i]
		}
		out = append(out, run...)
		cs = cs[n:]
	}
	return out
}

func disturbOne(rnd *rand.Rand, c Chunk) []Chunk {
	part := func(from, to int) Chunk {
		p := c
		p.Offset, p.Data, p.Len = c.Offset+uint64(from), c.Data[from:to], uint64(to-from)
		return p
	}
	cut, overlap := rnd.IntN(len(c.Data)+1), 0
	if cut > 0 {
		overlap = rnd.IntN(cut)
	}
	out := []Chunk{part(0, cut), part(cut-overlap, len(c.Data))}
	if rnd.IntN(4) == 0 {
		out = append(out, out[rnd.IntN(2)])
	}
	return out
}

// play feeds chunks and returns what came out.
func play(t testing.TB, cs []Chunk) *rig {
	r := newRig(t)
	r.e.Open(id(1), Info{})
	for i := range cs {
		c := cs[i]
		c.Data = slices.Clone(c.Data)
		r.e.Chunk(&c)
		clear(c.Data)
	}
	r.e.Close(id(1), cs[len(cs)-1].Time+ms)
	return r
}

// Whatever is cut, repeated and reordered within the window, the exchanges are
// those of the clean stream, their times included.
func TestDisturbedIsAsClean(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		cs := conversation(rnd)
		clean := play(t, cs)
		if len(clean.xs) < 20 || clean.xs[len(clean.xs)-1].Status != 200 {
			t.Fatalf("clean: %v", clean.out)
		}
		dirty := play(t, disturb(rnd, cs))
		dirty.wantLost()
		if !reflect.DeepEqual(clean.xs, dirty.xs) {
			t.Fatalf("seed %d:\n got %v\nwant %v", seed, dirty.out, clean.out)
		}
	}
}

// With chunks lost at random too, an exchange is right or not there.
func TestLossyIsRightOrAbsent(t *testing.T) {
	complete, lossy := 0, 0
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cs := conversation(rnd)
		truth := map[string]bool{}
		for _, s := range play(t, cs).out {
			truth[s] = true
		}
		var rest []Chunk
		for _, c := range disturb(rnd, cs) {
			if rnd.IntN(30) > 0 {
				rest = append(rest, c)
			}
		}
		r := play(t, rest)
		for i, x := range r.xs {
			if x.Status == 200 && !truth[r.out[i]] {
				t.Fatalf("seed %d: never was: %s", seed, r.out[i])
			}
			if x.Status == 200 {
				complete++
			}
		}
		if len(r.xs) < 20 {
			lossy++
		}
	}
	if complete < 1000 || lossy == 0 {
		t.Errorf("%d complete, %d lossy runs: nothing was tested", complete, lossy)
	}
}

// hostile makes chunks that keep the engine from consuming: holes, beginnings
// of long messages, single bytes, bytes of no protocol.
func hostile(rnd *rand.Rand, data [][]byte, at int64) Chunk {
	c := Chunk{Conn: id(rnd.Uint64N(2000)), Side: protocol.Side(rnd.IntN(2)), Time: at, Data: data[rnd.IntN(len(data))]}
	c.Offset = rnd.Uint64N(1 << (2 + rnd.IntN(61)))
	c.Len = rnd.Uint64N(1 << (2 + rnd.IntN(61)))
	return c
}

func TestHostileMemory(t *testing.T) {
	const limit = 1 << 20
	r := newRig(t, func(o *Options) { o.MaxConns, o.MaxBuffer, o.MaxMemory = 1000, 64<<10, limit })
	rnd := rand.New(rand.NewPCG(1, 2))
	data := [][]byte{message('Q', 1, 1<<20+1)[:2000],
		message('A', 1, 999)[:5], {'Q'}, make([]byte, 40), message('Q', 2, 0)}
	peak := int64(0)
	for i := range int64(200_000) {
		c := hostile(rnd, data, i*1000)
		r.e.Open(c.Conn, Info{Joined: rnd.IntN(2) == 0})
		r.e.Chunk(&c)
		if i%5000 == 0 {
			r.e.Expire(c.Time)
		}
		peak = max(peak, r.e.buffered.Load())
		if n := len(r.e.holding); r.e.Conns() > 1000 || n > 1000+5000 {
			t.Fatalf("%d connections, %d holding", r.e.Conns(), n)
		}
	}
	// Growing a buffer doubles it at most.
	if peak > limit+limit/8 || peak < limit/2 {
		t.Errorf("%d bytes kept, limit %d", peak, limit)
	}
	for i := range uint64(2000) {
		r.e.Close(id(i), 1<<40)
	}
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte{0, 0, 9, 1, 0, 9}, false)
	f.Add([]byte{0, 9, 9, 0, 0, 9, 1, 0, 30, 200, 4, 4}, true)
	stream := [2][]byte{}
	for i := range 30 {
		stream[client] = append(stream[client], message('Q', i, i*5)...)
		stream[server] = append(stream[server], message('A', i, i*3)...)
	}
	f.Fuzz(func(t *testing.T, script []byte, joined bool) {
		r := newRig(t, func(o *Options) { o.MaxBuffer, o.MaxMemory = 500, 800 })
		r.e.Open(id(1), Info{Joined: joined})
		at := int64(0)
		for ; len(script) >= 3; script = script[3:] {
			// Side, time and what is captured; where; how much.
			what, where, size := script[0], int(script[1])*8, uint64(script[2])
			sd := protocol.Side(what & 1)
			at += int64(what>>1&3) * 50 * ms
			data := stream[sd][min(where, len(stream[sd])):]
			data = data[:min(size, uint64(len(data)))]
			if what>>3&1 == 1 {
				data = data[:len(data)/2]
			}
			r.e.Chunk(&Chunk{Conn: id(1), Side: sd, Offset: uint64(where), Data: data, Len: size, Time: at})
			if what>>4 == 15 {
				r.e.Expire(at)
			}
		}
		r.e.Close(id(1), at)
		for _, x := range r.xs {
			checkTruth(t, x)
		}
	})
}

// checkTruth holds an exchange against the messages of FuzzChunks.
func checkTruth(t *testing.T, x *protocol.Exchange) {
	var i, off int
	fmt.Sscan(x.Path, &i)
	for k := range i {
		off += headSize + k*5
	}
	if x.ReqOffset != uint64(off) || x.ReqBytes != uint64(headSize+i*5) ||
		x.Status == 200 && x.RespBytes != uint64(headSize+i*3) {
		t.Errorf("never was: %s", show(x))
	}
}

// pingPong feeds the engine whole messages, in order, of one connection.
func pingPong(b *testing.B, conns int, size int) {
	r := newRig(b, func(o *Options) {
		o.Protocols = []protocol.Protocol{consumer{}}
		o.Out = func(ConnID, *Info, *protocol.Exchange) {}
	})
	data := make([]byte, size)
	for i := range conns {
		r.e.Open(id(uint64(i)), Info{})
	}
	b.ReportAllocs()
	b.ResetTimer()
	c := Chunk{Data: data, Len: uint64(size)}
	for i := range b.N {
		c.Conn.Sock, c.Side = uint64(i/2%conns), protocol.Side(i&1)
		c.Offset = uint64(i / 2 / conns * size)
		c.Time = int64(i)
		r.e.Chunk(&c)
	}
	b.StopTimer()
	if c := r.stage("l7.chunks"); c.Out != int64(b.N) {
		b.Fatalf("fed %d of %d", c.Out, b.N)
	}
}

// consumer costs nothing itself; it leaves the last byte of every other chunk
// when partial.
type consumer struct{ partial bool }

func (consumer) Name() string                                        { return "consumer" }
func (consumer) Detect(protocol.Side, []byte, bool) protocol.Verdict { return protocol.Yes }
func (c consumer) Open(bool) protocol.Conn                           { return &c }
func (*consumer) Lost(protocol.Side, uint64)                         {}
func (*consumer) Close(int64, protocol.Emit)                         {}
func (c *consumer) Feed(s protocol.Segment, _ protocol.Emit) protocol.Progress {
	n := len(s.Data)
	if c.partial && n == s.Fresh {
		n--
	}
	return protocol.Progress{Consumed: n}
}

func BenchmarkChunk(b *testing.B)         { pingPong(b, 1, 200) }
func BenchmarkChunk10kConns(b *testing.B) { pingPong(b, 10_000, 200) }

// A connection for each request: open, two chunks, close.
func BenchmarkShortConns(b *testing.B) {
	r := newRig(b, func(o *Options) { o.Protocols = []protocol.Protocol{consumer{}} })
	b.ReportAllocs()
	c := Chunk{Data: make([]byte, 200), Len: 200}
	for i := range b.N {
		c.Conn.Sock, c.Time = uint64(i), int64(i)
		r.e.Open(c.Conn, Info{})
		c.Side = client
		r.e.Chunk(&c)
		c.Side = server
		r.e.Chunk(&c)
		r.e.Close(c.Conn, c.Time)
	}
}

// Every other chunk leaves bytes for the next.
func BenchmarkPartial(b *testing.B) {
	r := newRig(b, func(o *Options) { o.Protocols = []protocol.Protocol{consumer{partial: true}} })
	r.e.Open(id(1), Info{})
	b.ReportAllocs()
	c := Chunk{Conn: id(1), Data: make([]byte, 1000), Len: 1000}
	for i := range b.N {
		c.Offset, c.Time = uint64(i)*1000, int64(i)
		r.e.Chunk(&c)
	}
}
