package dns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"weft/protocol"
)

// frame puts the length before a message.
func frame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func ask(t testing.TB, id uint16, name string) []byte {
	return frame(build(t, dnsmessage.Header{ID: id}, name, dnsmessage.TypeA))
}

func reply(t testing.TB, id uint16, name string, rcode dnsmessage.RCode, answers ...rec) []byte {
	return frame(build(t, dnsmessage.Header{ID: id, Response: true, RCode: rcode}, name, dnsmessage.TypeA, answers...))
}

// feeder gives a Conn its bytes as the engine does.
type feeder struct {
	t    testing.TB
	conn protocol.Conn
	at   [2]uint64
	rest [2][]byte
	now  int64
	end  protocol.End
	skip [2]uint64
	got  []*protocol.Exchange
}

func (f *feeder) emit(x *protocol.Exchange) { f.got = append(f.got, x) }

func (f *feeder) feed(side protocol.Side, b []byte) {
	f.now++
	if f.end != "" {
		return
	}
	if n := min(f.skip[side], uint64(len(b))); n > 0 {
		f.skip[side] -= n
		f.at[side] += n
		b = b[n:]
	}
	if len(b) == 0 {
		return
	}
	data := append(f.rest[side], b...)
	p := f.conn.Feed(protocol.Segment{
		Side: side, Offset: f.at[side], Data: data, Fresh: len(b), Begun: f.now - 1, Now: f.now, Started: true,
	}, f.emit)
	if p.Consumed > len(data) || p.Skip > 0 && p.Consumed != len(data) {
		f.t.Fatalf("consumed %d of %d, skip %d", p.Consumed, len(data), p.Skip)
	}
	f.at[side] += uint64(p.Consumed)
	f.rest[side] = bytes.Clone(data[p.Consumed:])
	f.skip[side], f.end = p.Skip, p.End
	for i := range data {
		data[i] = 0xff // a Conn must not have kept it
	}
}

// lose drops n bytes, and what was fed but not consumed with them.
func (f *feeder) lose(side protocol.Side, n int) {
	skipped := min(f.skip[side], uint64(n))
	f.skip[side] -= skipped
	f.at[side] += skipped
	lost := uint64(n) - skipped + uint64(len(f.rest[side]))
	f.rest[side] = nil
	if lost > 0 {
		f.conn.Lost(side, lost)
		f.at[side] += lost
	}
}

func (f *feeder) close() []string {
	f.conn.Close(f.now+1, f.emit)
	var lines []string
	for _, x := range f.got {
		problem := ""
		if len(x.Attrs) > 0 {
			problem = " " + x.Attrs[0].Value
		}
		lines = append(lines, fmt.Sprintf("%s %s %d @%d %d/%d%s",
			x.Path, x.Method, x.Status, x.ReqOffset, x.ReqBytes, x.RespBytes, problem))
	}
	return lines
}

func newFeeder(t testing.TB, joined bool) *feeder {
	return &feeder{t: t, conn: New().Open(joined), now: 100}
}

const (
	client = protocol.Client
	server = protocol.Server
)

func check(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPipelinedAndOutOfOrder(t *testing.T) {
	queries := slices.Concat(ask(t, 1, "a.org."), ask(t, 2, "b.org."), ask(t, 1, "c.org."), ask(t, 3, "d.org."))
	replies := slices.Concat(reply(t, 2, "b.org.", 3),
		reply(t, 1, "C.org.", 0, a("c.org.", 7, "10.0.0.1")), reply(t, 1, "a.org.", 2))
	want := []string{"b.org A 3 @25 25/25", "c.org A 0 @50 25/48", "a.org A 2 @0 25/25", "d.org A 0 @75 25/0 closed"}
	want[1] = strings.Replace(want[1], "/48", fmt.Sprintf("/%d", len(replies)-50), 1)
	for cut := 1; cut < len(queries); cut++ { // every segment size
		f := newFeeder(t, false)
		for part := range slices.Chunk(queries, cut) {
			f.feed(client, part)
		}
		for part := range slices.Chunk(replies, cut) {
			f.feed(server, part)
		}
		check(t, fmt.Sprint("segments of ", cut), f.close(), want...)
		var m Message
		if err := m.Decode(f.got[1].Message); err != nil || addrs(&m) != "10.0.0.1/7" {
			t.Errorf("the response's octets: %v %s", err, addrs(&m))
		}
	}
}

func TestTimes(t *testing.T) {
	f := newFeeder(t, false)
	q, r := ask(t, 1, "a.org."), reply(t, 1, "a.org.", 0)
	f.feed(client, q[:1]) // 101
	f.feed(client, q[1:]) // 102
	f.feed(server, r[:9]) // 103
	f.feed(server, r[9:]) // 104
	f.feed(client, ask(t, 2, "b.org."))
	f.close()
	if x := f.got[0]; x.Start != 101 || x.First != 103 || x.End != 104 {
		t.Errorf("start %d first %d end %d", x.Start, x.First, x.End)
	}
	if x := f.got[1]; x.Start != 105 || x.First != 0 || x.End != 105 || x.Message != nil {
		t.Errorf("unanswered: %+v", x)
	}
}

func TestOddMessages(t *testing.T) {
	bare := func(flags uint16, counts string) []byte {
		return frame(unhex(t, fmt.Sprintf("0001 %04x %s", flags, counts)))
	}
	none := "0000 0000 0000 0000"
	for _, c := range []struct {
		what     string
		requests []byte
		replies  []byte
		want     []string
		end      protocol.End
	}{
		{"an error without the question", ask(t, 1, "a.org."), bare(0x8181, none), []string{"a.org A 1 @0 25/14"}, ""},
		{"the same for two", append(ask(t, 1, "a.org."), ask(t, 1, "b.org.")...), bare(0x8181, none),
			[]string{"  1 @0 0/14 orphan_response", "a.org A 0 @0 25/0 closed", "b.org A 0 @25 25/0 closed"}, ""},
		{"the answer to another name", ask(t, 1, "a.org."), reply(t, 1, "b.org.", 0),
			[]string{"b.org A 0 @0 0/25 orphan_response", "a.org A 0 @0 25/0 closed"}, ""},
		{"twice asked", append(ask(t, 1, "a.org."), ask(t, 1, "a.org.")...), reply(t, 1, "a.org.", 0),
			[]string{"a.org A 0 @25 25/0 retry", "a.org A 0 @0 25/25"}, ""},
		{"a session's keepalive", bare(6<<11, none), bare(0x8000|6<<11, none), nil, ""},
		{"a query without question", bare(0, none), nil, []string{"  0 @0 14/0 question_count"}, ""},
		{"a response from the client", reply(t, 1, "a.org.", 0), nil, nil, protocol.Invalid},
		{"a query, then none", append(ask(t, 1, "a.org."), frame(nil)...), nil,
			[]string{"a.org A 0 @0 25/0 gap"}, protocol.Invalid},
		{"no header", frame([]byte("short")), nil, nil, protocol.Invalid},
		{"empty", frame(nil), nil, nil, protocol.Invalid},
	} {
		f := newFeeder(t, false)
		f.feed(client, c.requests)
		f.feed(server, c.replies)
		end := f.end
		check(t, c.what, f.close(), c.want...)
		if end != c.end {
			t.Errorf("%s: end %q, want %q", c.what, end, c.end)
		}
	}
}

func TestTooManyWaiting(t *testing.T) {
	f := newFeeder(t, false)
	for i := range maxWaiting + 3 {
		f.feed(client, ask(t, uint16(i), "a.org."))
	}
	n := 0
	for _, line := range f.close() {
		if strings.HasSuffix(line, Crowded) {
			n++
		}
	}
	if n != 3 || len(f.got) != maxWaiting+3 {
		t.Errorf("%d refused of %d", n, len(f.got))
	}
}

// A transfer is many messages; only what it begins with is read.
func TestTransfer(t *testing.T) {
	q := frame(build(t, dnsmessage.Header{ID: 9}, "org.", dnsmessage.TypeAXFR))
	zone := slices.Repeat([]rec{a("www.org.", 300, "10.0.0.1")}, 2000)
	first := frame(build(t, dnsmessage.Header{ID: 9, Response: true}, "org.", dnsmessage.TypeAXFR, zone...))
	more := bytes.Clone(first)
	f := newFeeder(t, false)
	f.feed(client, q)
	fed := 0
	for part := range slices.Chunk(append(first, more...), 1448) {
		if f.skip[server] < uint64(len(part)) {
			fed += len(part)
		}
		f.feed(server, part)
	}
	f.feed(client, ask(t, 9, "after.org."))
	f.feed(server, reply(t, 9, "after.org.", 3))
	check(t, "transfer", f.close(), fmt.Sprintf("org AXFR 0 @0 23/%d", len(first)), "after.org A 3 @23 29/29")
	if len(f.got[0].Message) != maxKept-prefixLen || fed > 3*maxKept {
		t.Errorf("kept %d, was fed %d of %d bytes", len(f.got[0].Message), fed, 2*len(first))
	}
}

// Bytes that were not captured: those inside a message cost at most it, and
// no query is called unanswered for them.
func TestLoss(t *testing.T) {
	r1 := reply(t, 1, "a.org.", 3, a("a.org.", 300, "10.0.0.1"), a("a.org.", 300, "10.0.0.2"))
	for lost := 1; lost < len(r1); lost++ {
		f := newFeeder(t, false)
		f.feed(client, append(ask(t, 1, "a.org."), ask(t, 2, "b.org.")...))
		f.feed(server, r1[:len(r1)-lost])
		f.lose(server, lost)
		f.feed(server, reply(t, 2, "b.org.", 0))
		a1, b1 := fmt.Sprintf("a.org A 3 @0 25/%d", len(r1)), "b.org A 0 @25 25/25"
		switch got := f.close(); {
		case len(r1)-lost >= 25:
			check(t, fmt.Sprint("records lost: ", lost), got, a1, b1)
		default:
			check(t, fmt.Sprint("question lost: ", lost), got, b1, "a.org A 0 @0 25/0 gap")
		}
	}
	// More than the message: the next packet that begins one is found.
	f := newFeeder(t, false)
	f.feed(client, append(ask(t, 1, "a.org."), ask(t, 2, "b.org.")...))
	f.lose(server, len(r1)+10)
	f.feed(client, ask(t, 3, "c.org."))
	f.feed(server, []byte("the end of something"))
	f.feed(server, reply(t, 3, "c.org.", 0)[:2]) // the length alone, as simple servers send it
	f.feed(server, reply(t, 3, "c.org.", 0)[2:])
	f.feed(client, ask(t, 4, "d.org."))
	check(t, "resynchronised", f.close(), "c.org A 0 @50 25/25",
		"a.org A 0 @0 25/0 gap", "b.org A 0 @25 25/0 gap", "d.org A 0 @75 25/0 closed")
}

func TestJoined(t *testing.T) {
	f := newFeeder(t, true)
	f.at[client], f.at[server] = 1000, 5000
	f.feed(server, reply(t, 1, "a.org.", 0))
	f.feed(client, ask(t, 2, "b.org.")[7:])
	f.feed(client, ask(t, 3, "c.org."))
	f.feed(server, reply(t, 3, "c.org.", 0))
	check(t, "joined", f.close(), "a.org A 0 @0 0/25 orphan_response", "c.org A 0 @1018 25/25")
}

// Whatever is cut out of whatever segments, an exchange is as it was or not
// there, and Closed is said of no query that was answered.
func TestRandomLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 3000 {
		f := newFeeder(t, round%3 == 0)
		for i := range 20 {
			name := fmt.Sprintf("n%d.org.", i)
			r := reply(t, uint16(i), name, dnsmessage.RCode(i%16), a(name, 3, "10.0.0.1"))
			for side, b := range [][]byte{ask(t, uint16(i), name), r} {
				for _, part := range slices.Collect(slices.Chunk(b, 1+rng.IntN(len(b)))) {
					if rng.IntN(20) == 0 {
						f.lose(protocol.Side(side), len(part))
					} else {
						f.feed(protocol.Side(side), part)
					}
				}
			}
		}
		for _, line := range f.close() {
			if strings.HasSuffix(line, Closed) {
				t.Fatalf("round %d: %s", round, line)
			}
		}
		for _, x := range f.got {
			var i int
			if fmt.Sscanf(x.Path, "n%d.org", &i); x.First != 0 && x.Status != i%16 {
				t.Fatalf("round %d: rcode %d of %s", round, x.Status, x.Path)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	q, r := ask(t, 1, "a.org."), reply(t, 1, "a.org.", 3, a("a.org.", 300, "10.0.0.1"))
	edit := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	for _, c := range []struct {
		what string
		side protocol.Side
		b    []byte
		want protocol.Verdict
	}{
		{"a query", client, q, protocol.Yes},
		{"two", client, append(bytes.Clone(q), q...), protocol.Yes},
		{"a response", server, r, protocol.Yes},
		{"a response whose records come later", server, r[:30], protocol.Yes},
		{"a query from the server", server, q, protocol.No},
		{"a response from the client", client, r, protocol.No},
		{"a length that is too small", client, edit(q, 0, 0, 22), protocol.No},
		{"a length that is too great", client, edit(q, 0, 0, 24), protocol.No},
		{"a response with room for no record", server, edit(r, 6+2, 0xff, 0xff), protocol.No},
		{"two questions", client, edit(q, 6, 0, 2), protocol.No},
		{"opcode 7", client, edit(q, 4, 7<<3), protocol.No},
		{"the reserved bit", client, edit(q, 5, 0x40), protocol.No},
		{"class 9", client, edit(q, len(q)-1, 9), protocol.No},
		{"a label of 64", client, edit(q, minFrame, 64), protocol.No},
		{"nothing", client, nil, protocol.NeedMore},
		{"HTTP", client, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), protocol.No},
		{"HTTP's answer", server, []byte("HTTP/1.1 200 OK\r\n\r\n"), protocol.No},
		{"TLS", client, unhex(t, "16030100ff010000fb0303000102030405060708090a0b0c0d0e0f"), protocol.No},
		{"HTTP/2", client, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), protocol.No},
		{"redis", client, []byte("*1\r\n$4\r\nPING\r\n"), protocol.No},
		{"zeros", client, make([]byte, 100), protocol.No},
	} {
		for _, joined := range []bool{false, true} {
			if got := New().Detect(c.side, c.b, joined); got != c.want {
				t.Errorf("%s: %v, want %v", c.what, got, c.want)
			}
		}
	}
	for n := range q {
		if got := New().Detect(client, q[:n], false); got != protocol.NeedMore {
			t.Errorf("%d bytes of a query: %v", n, got)
		}
	}
}

func FuzzConn(f *testing.F) {
	f.Add(append(ask(f, 1, "a.org."), ask(f, 2, "b.org.")...), reply(f, 1, "a.org.", 0), uint64(7), false)
	f.Add(ask(f, 1, "a.org.")[5:], reply(f, 1, "a.org.", 0), uint64(3), true)
	f.Fuzz(func(t *testing.T, requests, replies []byte, seed uint64, joined bool) {
		rng := rand.New(rand.NewPCG(seed, 0))
		x := newFeeder(t, joined)
		left := [2][]byte{requests, replies}
		for len(left[0])+len(left[1]) > 0 && x.end == "" {
			side := protocol.Side(rng.IntN(2))
			n := min(len(left[side]), 1+rng.IntN(200))
			if rng.IntN(10) == 0 {
				x.lose(side, n)
			} else {
				x.feed(side, left[side][:n])
			}
			left[side] = left[side][n:]
			if len(x.rest[side]) > maxName+minFrame+200+8 {
				t.Fatalf("%d bytes are not consumed", len(x.rest[side]))
			}
		}
		x.close()
		for _, got := range x.got {
			if got.End < got.Start || got.First != 0 && got.First < got.Start || got.ReqBytes > prefixLen+0xffff {
				t.Fatalf("%+v", got)
			}
		}
	})
}
