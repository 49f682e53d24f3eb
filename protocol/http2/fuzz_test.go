package http2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2/hpack"

	"weft/protocol"
)

// FuzzFeed plays a script: each op byte chooses side, loss, packet start and
// how many of the bytes that follow it takes.
func FuzzFeed(f *testing.F) {
	for _, e := range examples() {
		if runs := e.runs(); size(runs) < 4000 {
			f.Add(script(runs), false)
			f.Add(script(runs[1:]), true)
		}
	}
	p := New(Options{MaxStreams: 50, KeepQuery: true})
	f.Fuzz(func(t *testing.T, ops []byte, joined bool) {
		w := &wire{t: t, conn: p.Open(joined).(*Conn)}
		plain, client := !joined, []byte{}
		for len(ops) > 1 && w.end == "" {
			side, lost := protocol.Side(ops[0]&1), ops[0]&0xf0 == 0xf0
			n := min(int(ops[1]), len(ops)-2)
			w.now++
			if lost {
				w.lose(side, uint64(n)+1)
				plain = false
			} else {
				w.send(side, ops[2:2+n], ops[0]&2 != 0)
			}
			if side == protocol.Client {
				client = append(client, ops[2:2+n]...)
			}
			ops = ops[2+n:]
		}
		for _, h := range []*half{&w.conn.client, &w.conn.server} {
			if h.table.size > maxTable || len(h.block.data) > maxBlock {
				t.Errorf("table %d, block %d", h.table.size, len(h.block.data))
			}
		}
		if len(w.conn.streams) > 50 || w.maxHeld > 3*maxBlock {
			t.Errorf("%d streams, %d bytes held", len(w.conn.streams), w.maxHeld)
		}
		w.conn.Close(w.now, w.emit)
		// Behind a block that the library refuses nobody knows what was said.
		said, all := targets(client)
		for _, e := range w.out {
			if e.Start > e.End || e.First > e.End {
				t.Errorf("times: %s", show(e))
			}
			if plain && all && e.Path != unknown && !said[e.Path] {
				t.Errorf("path %q was not in the bytes", e.Path)
			}
		}
	})
}

// targets are the paths and authorities that the library finds; false when it
// refused a block.
func targets(b []byte) (map[string]bool, bool) {
	said := map[string]bool{"": true}
	d := hpack.NewDecoder(defaultTable, func(f hpack.HeaderField) { said[f.Value] = true })
	d.SetAllowedMaxDynamicTableSize(1 << 31)
	for b = b[min(len(preface), len(b)):]; len(b) >= headerLen && len(b) >= int(parseFrame(b).bytes()); {
		f := parseFrame(b)
		payload, ok := b[headerLen:f.bytes()], true
		b = b[f.bytes():]
		if f.kind == frameHeaders {
			payload, ok = f.unpad(payload)
		} else if f.kind != frameContinuation {
			continue
		}
		if _, err := d.Write(payload); err != nil || !ok {
			return said, false
		}
		if f.has(flagEndHeaders) && d.Close() != nil {
			return said, false
		}
	}
	return said, true
}

// FuzzDecode holds the decoder against the library's: what that one accepts is
// read alike, and every value was in the bytes.
func FuzzDecode(f *testing.F) {
	c := newPeer()
	for range 3 {
		f.Add([]byte(c.block(":method: GET", ":path: /a", "cookie: x", "content-type: application/grpc")))
	}
	f.Add([]byte("\x20\x3f\xe1\x1f\x44\x01/\xbe\x62\x02hi\xc0"))
	static := staticTable()
	f.Fuzz(func(t *testing.T, block []byte) {
		d := newDecoder(static, true)
		var got fields
		ok := d.decode(block, &got)
		lib := hpack.NewDecoder(defaultTable, nil)
		want, err := lib.DecodeFull(block)
		if err != nil {
			return
		}
		if !ok {
			t.Fatalf("refused what the library takes: %v", want)
		}
		seen := fields{}
		for _, h := range want {
			seen.add(nameOf([]byte(h.Name)), h.Value)
		}
		seen.value[other] = ""
		if got != seen {
			t.Errorf("got %+v, want %+v", got, seen)
		}
	})
}

func size(runs []run) (n int) {
	for _, r := range runs {
		n += len(r.data)
	}
	return n
}

func script(runs []run) (ops []byte) {
	for _, r := range runs {
		for data := []byte(r.data); len(data) > 0; {
			n := min(len(data), 255)
			ops = append(append(ops, byte(r.side)|2, byte(n)), data[:n]...)
			data = bytes.Clone(data[n:])
		}
	}
	return ops
}

func BenchmarkExchange(b *testing.B) {
	c, s := newPeer(), newPeer()
	lines := []string{":method: GET", ":scheme: http", ":path: /api/v1/users", ":authority: example.org",
		"user-agent: bench", "accept: */*"}
	c.headers(1, flagEndStream, lines...)
	request := []byte(c.headers(1, flagEndStream, lines...)) // all of it is in the table now
	answer := []string{":status: 200", "content-type: text/html", "content-length: 5"}
	s.headers(1, 0, answer...)
	response := []byte(s.headers(1, 0, answer...) + data(1, flagEndStream, 5))
	emitted := 0
	emit := func(*protocol.Exchange) { emitted++ }
	conn := New(Options{}).Open(false)
	feed := func(side protocol.Side, d []byte) {
		conn.Feed(protocol.Segment{Side: side, Data: d, Fresh: len(d), Now: 1, Started: true}, emit)
	}
	feed(protocol.Client, []byte(preface+settings("")+newPeer().headers(1, flagEndStream, lines...)))
	feed(protocol.Server, []byte(settings("")+newPeer().headers(1, flagEndStream, answer...)))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		id := uint32(i*2 + 3)
		for _, f := range [][]byte{request, response, response[len(response)-headerLen-5:]} {
			f[5], f[6], f[7], f[8] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
		}
		feed(protocol.Client, request)
		feed(protocol.Server, response)
	}
	if emitted != b.N+1 {
		b.Fatalf("%d of %d emitted", emitted, b.N)
	}
}
