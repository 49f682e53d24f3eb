package http2

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"weft/protocol"
)

// example is what both sides send and what leaves, without byte counts (those
// are held against real peers in real_test.go).
type example struct {
	name string
	o    Options
	runs func() []run
	want string
}

// talk begins with both prefaces.
func talk(rest ...run) []run {
	c, s := hello()
	return append([]run{c, s}, rest...)
}

func examples() []example {
	ok := []string{":status: 200", "server: x"}
	return []example{
		{name: "simple", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/a?q")), srv(s.headers(1, 0, ok...), data(1, flagEndStream, 5)))
		}, want: "http2 1 GET /a host=h 200 t=3,4,4"},
		{name: "query kept, cut", o: Options{KeepQuery: true, MaxPath: 3}, runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/a?q")), srv(s.headers(1, flagEndStream, ok...)))
		}, want: "http2 1 GET /a? host=h 200 t=3,4,4 truncated"},
		{name: "interleaved, table used", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/a"), c.get(3, "/b"), c.get(5, "/a")), srv(s.headers(5, flagEndStream, ":status: 418"),
				s.headers(1, 0, ":status: 201"), s.headers(3, flagEndStream, ":status: 418")), srv(data(1, flagEndStream, 0)))
		}, want: "http2 5 GET /a host=h 418 t=3,4,4\nhttp2 3 GET /b host=h 418 t=3,4,4\nhttp2 1 GET /a host=h 201 t=3,4,5"},
		{name: "padding, priority, continuation", runs: func() []run {
			c, s := newPeer(), newPeer()
			b := c.block(":method: PUT", ":path: /long", "cookie: "+strings.Repeat("c", 300), "host: x")
			r := s.block(ok...)
			return talk(cli(raw(frameHeaders, flagPadded|flagPriority, 1, "\x03\x80\x00\x00\x00\x10"+b[:4]+"\x00\x00\x00"),
				raw(frameContinuation, 0, 1, b[4:50]), raw(frameContinuation, flagEndHeaders, 1, b[50:]),
				raw(framePriority, 0, 1, "12345"), raw(frameData, flagPadded, 1, "\x02ab\x00\x00"), raw(0x77, 0xff, 1, "?")),
				srv(raw(frameHeaders, flagPadded|flagEndHeaders, 1, "\x01"+r+"\x00")), cli(data(1, flagEndStream, 1)),
				srv(data(1, flagEndStream, 70000)))
		}, want: "http2 1 PUT /long host=x 200 t=3,4,6"},
		{name: "interim, trailers", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/i")), srv(s.headers(1, 0, ":status: 103", "link: x")), srv(s.headers(1, 0, ok...)),
				srv(data(1, 0, 9)), srv(s.headers(1, flagEndStream, "digest: y")))
		}, want: "http2 1 GET /i host=h 200 t=3,5,7"},
		{name: "reset by the client", runs: func() []run {
			c := newPeer()
			return talk(cli(c.get(1, "/r")), cli(raw(frameReset, 0, 1, "\x00\x00\x00\x08")))
		}, want: "http2 1 GET /r host=h 0 t=3,0,4 reset=CANCEL"},
		{name: "early response, then reset", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.headers(1, 0, ":method: POST", ":path: /e")), srv(s.headers(1, flagEndStream, ":status: 413")),
				srv(raw(frameReset, 0, 1, "\x00\x00\x00\x00")))
		}, want: "http2 1 POST /e host= 413 t=3,4,5 reset=NO_ERROR"},
		{name: "GOAWAY", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/1"), c.get(3, "/3")),
				srv(raw(frameGoAway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x0bcalm")),
				srv(s.headers(1, flagEndStream, ok...)))
		}, want: "http2 3 GET /3 host=h 0 t=3,0,4 goaway=ENHANCE_YOUR_CALM\nhttp2 1 GET /1 host=h 200 t=3,5,5"},
		{name: "open at close", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/1"), c.headers(3, 0, ":method: POST", ":path: /3")), srv(s.headers(1, 0, ok...)))
		}, want: "http2 1 GET /1 host=h 200 t=3,4,4 incomplete=response\nhttp2 3 POST /3 host= 0 t=3,0,3 incomplete=request"},
		{name: "push", runs: func() []run {
			c, s := newPeer(), newPeer()
			promised := s.block(":method: GET", ":path: /pushed", ":status: 299")
			return talk(cli(c.get(1, "/1")), srv(raw(framePush, flagEndHeaders, 1, "\x00\x00\x00\x02"+promised)),
				srv(s.headers(2, flagEndStream, ok...), s.headers(1, flagEndStream, ":status: 299")))
		}, want: "http2 1 GET /1 host=h 299 t=3,5,5"},
		{name: "gRPC", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.headers(1, 0, ":method: POST", ":path: /p.S/M", "content-type: application/grpc+proto"),
				data(1, flagEndStream, 7)),
				srv(s.headers(1, 0, ":status: 200", "content-type: application/grpc"), data(1, 0, 5),
					s.headers(1, flagEndStream, "grpc-status: 5", "grpc-message: no%20such%2")))
		}, want: `grpc 1 POST /p.S/M host= 200 t=3,4,4 grpc=p.S/M 5 "no such%2"`},
		{name: "gRPC, trailers only; reset", runs: func() []run {
			c, s := newPeer(), newPeer()
			ct := "content-type: application/grpc"
			return talk(cli(c.headers(1, flagEndStream, ":method: POST", ":path: /S/M", ct),
				c.headers(3, 0, ":method: POST", ":path: /S/N", ct)),
				srv(s.headers(1, flagEndStream, ":status: 200", ct, "grpc-status: 12")),
				srv(raw(frameReset, 0, 3, "\x00\x00\x00\x02")))
		}, want: "grpc 1 POST /S/M host= 200 t=3,4,4 grpc=S/M 12 \"\"\n" +
			"grpc 3 POST /S/N host= 0 t=3,0,5 grpc=S/N -1 \"\" reset=INTERNAL_ERROR"},
		{name: "CONNECT", runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.headers(1, 0, ":method: CONNECT", ":authority: x:1"), data(1, flagEndStream, 9)),
				srv(s.headers(1, flagEndStream, ok...)))
		}, want: "http2 1 CONNECT x:1 host=x:1 200 t=3,4,4"},
		{name: "table sizes", runs: func() []run {
			c, s := newPeer(), newPeer()
			c.enc.SetMaxDynamicTableSizeLimit(1 << 16)
			c.enc.SetMaxDynamicTableSize(1 << 16)
			big := c.get(1, "/big") + c.get(3, "/big")
			c.enc.SetMaxDynamicTableSize(0)
			return []run{cli(preface, settings("")), srv(settings("\x00\x01\x00\x01\x00\x00")),
				cli(big, c.get(5, "/none"), c.get(7, "/none")),
				srv(s.headers(1, 1, ok...), s.headers(3, 1, ok...), s.headers(5, 1, ok...), s.headers(7, 1, ok...))}
		}, want: "http2 1 GET /big host=h 200 t=3,4,4\nhttp2 3 GET /big host=h 200 t=3,4,4\n" +
			"http2 5 GET /none host=h 200 t=3,4,4\nhttp2 7 GET /none host=h 200 t=3,4,4"},
		{name: "streams are bounded", o: Options{MaxStreams: 1}, runs: func() []run {
			c, s := newPeer(), newPeer()
			return talk(cli(c.get(1, "/1"), c.get(3, "/3")), srv(s.headers(3, flagEndStream, ok...),
				s.headers(1, flagEndStream, ok...)))
		}, want: "http2 1 GET /1 host=h 200 t=3,4,4\norphans=1 dropped=1"},
		{name: "a table larger than allowed", runs: func() []run {
			return talk(cli(raw(frameHeaders, flagEndHeaders, 1, "\x3f\xe2\x1f\x82")))
		}, want: "end invalid"},
		{name: "an index that is not there", runs: func() []run {
			return talk(cli(raw(frameHeaders, flagEndHeaders, 1, "\xbe")))
		}, want: "end invalid"},
		{name: "no SETTINGS first", runs: func() []run { return []run{cli(preface, data(1, 0, 1))} }, want: "end invalid"},
		{name: "HTTP/1", runs: func() []run { return []run{cli("GET / HTTP/1.1\r\n")} }, want: "end invalid"},
		{name: "frame inside a block", runs: func() []run {
			return talk(cli(raw(frameHeaders, 0, 1, "\x82"), raw(framePing, 0, 0, "12345678")))
		}, want: "end invalid"},
		{name: "a block that is too long", runs: func() []run {
			c, s := newPeer(), newPeer()
			long := c.block(":method: GET", ":path: /long", "a: "+strings.Repeat("\x00", maxBlock))
			return talk(cli(c.get(1, "/1")), cli(raw(frameHeaders, 5, 3, long)),
				cli(c.get(5, "/1"), c.get(7, "/7"), c.get(9, "/7")),
				srv(s.headers(1, 1, ok...), s.headers(3, 1, ok...), s.headers(5, 1, ok...), s.headers(7, 1, ok...),
					s.headers(9, 1, ok...)))
		}, want: "http2 1 GET /1 host=h 200 t=3,6,6\nhttp2 3 unknown unknown host= 200 t=4,6,6\n" +
			"http2 5 GET unknown host= 200 t=5,6,6\nhttp2 7 GET /7 host= 200 t=5,6,6\nhttp2 9 GET /7 host= 200 t=5,6,6"},
	}
}

// without takes the byte counts away.
func without(lines string) string {
	return regexp.MustCompile(`req=\d+\+\d+ resp=\d+ `).ReplaceAllString(lines, "")
}

func TestExchanges(t *testing.T) {
	for _, c := range examples() {
		t.Run(c.name, func(t *testing.T) {
			p, runs := New(c.o), c.runs()
			all := play(t, p.Open(false), runs, whole).show()
			if without(all) != c.want {
				t.Errorf("whole: got\n%s\nwant\n%s", without(all), c.want)
			}
			if got := play(t, p.Open(false), runs, single).show(); got != all {
				t.Errorf("byte by byte: got\n%s\nwant\n%s", got, all)
			}
			for seed := range uint64(50) {
				if got := play(t, p.Open(false), runs, random(seed)).show(); got != all {
					t.Fatalf("random split %d: got\n%s\nwant\n%s", seed, got, all)
				}
			}
		})
	}
}

func TestBytesAndSkips(t *testing.T) {
	c, s := newPeer(), newPeer()
	w := &wire{t: t, conn: New(Options{}).Open(false).(*Conn)}
	post := c.headers(1, 0, ":method: POST", ":path: /p")
	w.send(protocol.Client, []byte(preface+settings("")+post), true)
	head := s.headers(1, 0, ":status: 200")
	w.send(protocol.Server, []byte(settings("")+head), true)
	const size = 1<<24 - 1
	frame := []byte(data(1, flagEndStream, size))
	for side := range w.side {
		w.now++
		w.send(protocol.Side(side), frame[:100], true)
		if got, want := w.side[side].skip, uint64(headerLen+size-100-1); got != want {
			t.Errorf("skip %d, want %d: all but the last byte", got, want)
		}
		w.now++
		w.send(protocol.Side(side), frame[100:], false)
	}
	if len(w.out) != 1 {
		t.Fatalf("%d exchanges", len(w.out))
	}
	e := w.out[0]
	if e.ReqBytes != uint64(len(post)+len(frame)) || e.RespBytes != uint64(len(head)+len(frame)) || e.End != 4 ||
		e.ReqOffset != uint64(len(preface)+headerLen) || w.maxHeld > 0 {
		t.Errorf("%s, held %d", show(e), w.maxHeld)
	}
}

func TestUpgraded(t *testing.T) {
	c, s := newPeer(), newPeer()
	first := &protocol.Exchange{Protocol: "http", Version: "1.1", Method: "GET", Path: "/up", Host: "h", Status: 101,
		ReqOffset: 7, ReqBytes: 99, Start: 1, First: 2, End: 2, RespBytes: 50}
	runs := []run{srv(settings(""), s.headers(1, flagEndStream, ":status: 200")),
		cli(preface, settings(""), c.get(3, "/3")),
		srv(s.headers(3, flagEndStream, ":status: 200"))}
	want := "http2 1 GET /up host=h 200 t=1,1,1\nhttp2 3 GET /3 host=h 200 t=2,3,3"
	if got := without(play(t, Upgraded(Options{}, first), runs, single).show()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if first.Status != 101 || first.StreamID != 0 {
		t.Error("the HTTP/1.1 exchange was changed")
	}
}

func TestDetect(t *testing.T) {
	const c, s = protocol.Client, protocol.Server
	get := newPeer().get(1, "/x")
	ping := raw(framePing, 0, 0, "12345678")
	for _, d := range []struct {
		name   string
		side   protocol.Side
		first  string
		joined bool
		want   protocol.Verdict
	}{
		{"nothing", c, "", false, protocol.NeedMore},
		{"part of the preface", c, preface[:23], false, protocol.NeedMore},
		{"preface", c, preface, false, protocol.Yes},
		{"preface, joined", c, preface + "x", true, protocol.Yes},
		{"a request of HTTP/1", c, "PRI * HTTP/1.1", false, protocol.No},
		{"frames without preface", c, get, false, protocol.No},
		{"a frame, joined", c, get, true, protocol.Yes},
		{"part of a frame", c, get[:len(get)-1], true, protocol.NeedMore},
		{"two and a header", c, get + ping + data(1, 0, 100)[:9], true, protocol.Yes},
		{"a bad third", c, get + ping + "junk junk junk", true, protocol.No},
		{"zeros", c, strings.Repeat("\x00", 40), true, protocol.No},
		{"a continuation", c, raw(frameContinuation, 4, 1, ""), true, protocol.No},
		{"TLS", c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true, protocol.No},
		{"SETTINGS", s, settings("123456"), false, protocol.Yes},
		{"part of SETTINGS", s, "\x00\x00\x12\x04", false, protocol.NeedMore},
		{"another frame", s, ping, false, protocol.No},
		{"another frame, joined", s, ping, true, protocol.Yes},
		{"HTTP/1", s, "HTTP/1.1 200 OK\r\n", false, protocol.No},
	} {
		if got := New(Options{}).Detect(d.side, []byte(d.first), d.joined); got != d.want {
			t.Errorf("%s: %v, want %v", d.name, got, d.want)
		}
	}
}

// Every literal and reference that the library's encoder makes is read alike.
func TestDecoderIsTheLibrarys(t *testing.T) {
	p := newPeer()
	d := newDecoder(staticTable(), true)
	lib := hpack.NewDecoder(defaultTable, nil)
	for i := range 3000 {
		target := "/" + strings.Repeat(string(rune('a'+i%26)), i%97)
		block := []byte(p.block(":method: PATCH", ":path: "+target, "x-"+target[1:]+": v", "cookie: "+target))
		var f fields
		fs, err := lib.DecodeFull(block)
		if err != nil || !d.decode(block, &f) || f.value[path] != target || f.value[path] != fs[1].Value ||
			f.value[method] != "PATCH" || f.unseen || d.size > defaultTable {
			t.Fatalf("block %d: %+v, %v", i, f, err)
		}
	}
}
