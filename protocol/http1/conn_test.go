package http1

import (
	"strings"
	"testing"

	"weft/protocol"
)

// Each rule of RFC 9112, as what both sides send and what leaves. A run's
// number is its time.
func exchanges() []struct {
	name   string
	o      Options
	joined bool
	runs   []run
	want   string
} {
	return []struct {
		name   string
		o      Options
		joined bool
		runs   []run
		want   string
	}{
		{name: "simple", runs: []run{
			cli("GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")},
			want: "1.1 GET /a host=h 200 req=0+32 resp=40 t=1,2,2"},
		{name: "query kept, cut", o: Options{KeepQuery: true, MaxPath: 5}, runs: []run{
			cli("GET /a?b=c HTTP/1.0\r\n\r\n"), srv("HTTP/1.0 404 \r\nContent-Length: 0\r\n\r\n")},
			want: "1.0 GET /a?b= host= 404 req=0+23 resp=36 t=1,2,2 truncated"},
		{name: "exactly as long as allowed", o: Options{MaxPath: 2}, runs: []run{
			cli("GET /a?b=c HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 204\r\n\r\n")},
			want: "1.1 GET /a host= 204 req=0+23 resp=16 t=1,2,2"},
		{name: "absolute form", runs: []run{
			cli("GET http://u:p@x:81/p?q HTTP/1.1\r\nHost: other\r\n\r\nOPTIONS http://y HTTP/1.1\r\n\r\n"),
			srv("HTTP/1.1 204 N\r\n\r\nHTTP/1.1 204 N\r\n\r\n")},
			want: "1.1 GET /p host=x:81 204 req=0+49 resp=18 t=1,2,2\n1.1 OPTIONS / host=y 204 req=49+29 resp=18 t=1,2,2"},
		{name: "asterisk, unknown method", runs: []run{
			cli("OPTIONS * HTTP/1.1\r\n\r\nBREW-IT /pot HTTP/1.1\r\n\r\n"),
			srv("HTTP/1.1 204 N\r\n\r\nHTTP/1.1 418 T\r\ncontent-LENGTH:\t1 \r\n\r\n.")},
			want: "1.1 OPTIONS * host= 204 req=0+22 resp=18 t=1,2,2\n1.1 BREW-IT /pot host= 418 req=22+25 resp=39 t=1,2,2"},
		{name: "bare LF, empty lines, folded", runs: []run{
			cli("\r\n\nPOST / HTTP/1.1\nCoNTent-Length:\n  3\nHOST: h\r\n\nabc"),
			srv("HTTP/1.1 200 OK\nContent-Length: 1\n\nx")},
			want: "1.1 POST / host=h 200 req=3+49 resp=36 t=1,2,2"},
		{name: "chunked both ways", runs: []run{
			cli("PUT /c HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n\r\n" +
				"3;x=\"y\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nT: v\r\n\r\n"),
			srv("HTTP/1.1 200 OK\r\nTransfer-Encoding:chunked\r\n\r\n1\r\nx\r\n"), srv("00\r\n\r\n")},
			want: "1.1 PUT /c host= 200 req=0+114 resp=58 t=1,2,3"},
		{name: "HEAD, 304", runs: []run{
			cli("HEAD /h HTTP/1.1\r\n\r\nGET /i HTTP/1.1\r\n\r\n"),
			srv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n")},
			want: "1.1 HEAD /h host= 200 req=0+20 resp=38 t=1,2,2\n1.1 GET /i host= 304 req=20+19 resp=37 t=1,2,2"},
		{name: "continue, early hints", runs: []run{
			cli("POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"), srv("HTTP/1.1 100 C\r\n\r\n"),
			cli("ab"), srv("HTTP/1.1 103 E\r\nLink: x\r\n\r\n"), srv("HTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n")},
			want: "1.1 POST /e host= 201 req=0+63 resp=82 t=1,5,5"},
		{name: "early response", runs: []run{
			cli("POST /e HTTP/1.1\r\nContent-Length: 4\r\n\r\na"),
			srv("HTTP/1.1 413 L\r\nContent-Length: 0\r\n\r\n"), cli("bcd")},
			want: "1.1 POST /e host= 413 req=0+43 resp=37 t=1,2,3"},
		{name: "early response, request never ends", runs: []run{
			cli("POST /e HTTP/1.1\r\nContent-Length: 4\r\n\r\na"), srv("HTTP/1.1 413 L\r\nContent-Length: 0\r\n\r\n")},
			want: "1.1 POST /e host= 413 req=0+40 resp=37 t=1,2,2 incomplete=request"},
		{name: "until close", runs: []run{
			cli("GET /u HTTP/1.0\r\n\r\n"), srv("HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 500"), srv("\r\n\r\n")},
			want: "1.0 GET /u host= 200 req=0+19 resp=35 t=1,2,3"},
		{name: "coding that is not chunked", runs: []run{
			cli("GET /u HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\nabc")},
			want: "1.1 GET /u host= 200 req=0+19 resp=66 t=1,2,2"},
		{name: "bad length of a response", runs: []run{
			cli("GET /u HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc")},
			want: "1.1 GET /u host= 200 req=0+19 resp=60 t=1,2,2"},
		{name: "length twice, equal", runs: []run{
			cli("GET /u HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na")},
			want: "1.1 GET /u host= 200 req=0+19 resp=42 t=1,2,2"},
		{name: "bad length of a request", runs: []run{
			cli("POST /u HTTP/1.1\r\nContent-Length: +1\r\n\r\n"), cli("GET /no"),
			srv("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")},
			want: "1.1 POST /u host= 400 req=0+40 resp=39 t=1,3,3"},
		{name: "cut response", runs: []run{
			cli("GET /u HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")},
			want: "1.1 GET /u host= 200 req=0+19 resp=38 t=1,2,2 incomplete=response"},
		{name: "never answered", runs: []run{
			cli("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 5\r\n\r\n")},
			want: "1.1 GET /1 host= 0 req=0+19 resp=0 t=1,0,1\n1.1 GET /2 host= 0 req=19+19 resp=0 t=1,0,1\n" +
				"1.1 POST /3 host= 0 req=38+39 resp=0 t=1,0,1 incomplete=request"},
		{name: "CONNECT", runs: []run{
			cli("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"),
			srv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), cli("\x16\x03")},
			want: "1.1 CONNECT h:443 host=h:443 200 req=0+39 resp=38 t=1,2,2\nend upgraded"},
		{name: "CONNECT refused", runs: []run{
			cli("CONNECT h:443 HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 407 P\r\nContent-Length: 1\r\n\r\nx"),
			cli("GET / HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 204 N\r\n\r\n")},
			want: "1.1 CONNECT h:443 host= 407 req=0+26 resp=38 t=1,2,2\n1.1 GET / host= 204 req=26+18 resp=18 t=3,4,4"},
		{name: "WebSocket", runs: []run{
			cli("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
			srv("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\x81\x05")},
			want: "1.1 GET /ws host= 101 req=0+40 resp=38 t=1,2,2\nend upgraded"},
		{name: "h2c", runs: []run{
			cli("GET /2 HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"), srv("HTTP/1.1 101 S\r\nUpgrade: H2C\r\n\r\n\x00\x00")},
			want: "1.1 GET /2 host= 101 req=0+33 resp=32 t=1,2,2\nend upgraded_h2c"},
		{name: "another protocol", runs: []run{cli("EHLO example.org\r\n"), srv("250 x\r\n")}, want: "end invalid"},
		{name: "HTTP/2 preface", runs: []run{cli("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}, want: "end invalid"},
		{name: "space in the target", runs: []run{cli("GET /a b HTTP/1.1\r\n\r\n")}, want: "end invalid"},
		{name: "bad chunk", runs: []run{
			cli("GET /b HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), srv("zz\r\n")},
			want: "1.1 GET /b host= 200 req=0+19 resp=51 t=1,2,3 incomplete=response"},
		{name: "junk behind a request", runs: []run{
			cli("GET /b HTTP/1.1\r\n\r\n"), cli("\x00\x01"), srv("HTTP/1.1 204 N\r\n\r\n")},
			want: "1.1 GET /b host= 204 req=0+19 resp=18 t=1,3,3"},
		{name: "joined: the response is not of this request", joined: true, runs: []run{
			srv("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), cli("GET /b HTTP/1.1\r\n\r\n"),
			srv("HTTP/1.1 204 N\r\n\r\n")},
			want: "1.1 GET /b host= 204 req=0+19 resp=18 t=2,3,3\norphans=1 dropped=0"},
		{name: "joined inside a body", joined: true, runs: []run{
			cli("of a body\r\n"), srv("body, too"), cli("GET /b HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 204 N\r\n\r\n")},
			want: "1.1 GET /b host= 204 req=11+19 resp=18 t=3,4,4"},
		{name: "joined, client pipelines", joined: true, runs: []run{
			cli("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"), srv("HTTP/1.1 204 N\r\n\r\n")},
			want: "orphans=1 dropped=2"},
		{name: "response without request", runs: []run{
			srv("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")}, want: "orphans=1 dropped=0"},
	}
}

func TestExchanges(t *testing.T) {
	for _, c := range exchanges() {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, c.o, c.joined, c.runs, whole).show(); got != c.want {
				t.Errorf("whole: got\n%s\nwant\n%s", got, c.want)
			}
			if got := play(t, c.o, c.joined, c.runs, single).show(); got != c.want {
				t.Errorf("byte by byte: got\n%s\nwant\n%s", got, c.want)
			}
			for seed := range uint64(50) {
				if got := play(t, c.o, c.joined, c.runs, random(seed)).show(); got != c.want {
					t.Fatalf("random split %d: got\n%s\nwant\n%s", seed, got, c.want)
				}
			}
		})
	}
}

func TestDetect(t *testing.T) {
	const c, s = protocol.Client, protocol.Server
	for _, d := range []struct {
		side   protocol.Side
		first  string
		joined bool
		want   protocol.Verdict
	}{
		{c, "", false, protocol.NeedMore},
		{c, "GE", false, protocol.NeedMore},
		{c, "GET ", false, protocol.NeedMore},
		{c, "GET /index", false, protocol.NeedMore},
		{c, "GET /" + strings.Repeat("x", longLine), false, protocol.Yes},
		{c, "GET /" + strings.Repeat("x", longLine), true, protocol.NeedMore},
		{c, "\r\nGET / HTTP/1.1\r\n", false, protocol.Yes},
		{c, "\r\nGET / HTTP/1.1\r\n", true, protocol.No},
		{c, "GET / HTTP/1.0\n", true, protocol.Yes},
		{c, "PROPFIND /dav HTTP/1.1\r\nHo", true, protocol.Yes},
		{c, "BREW / HTTP/1.1\r\n", false, protocol.No},
		{c, "get / HTTP/1.1\r\n", false, protocol.No},
		{c, "GET key\r\n", false, protocol.No}, // Redis, inline
		{c, "PRI * HTTP/2.0\r\n", false, protocol.No},
		{c, "OPTIONS rtsp://x RTSP/1.0\r\n", false, protocol.No},
		{c, "GET /\x00", false, protocol.No},
		{c, "\x16\x03\x01", false, protocol.No},
		{s, "", false, protocol.NeedMore},
		{s, "HTTP/1", true, protocol.NeedMore},
		{s, "HTTP/1.1 20", true, protocol.NeedMore},
		{s, "HTTP/1.1 200 ", true, protocol.Yes},
		{s, "HTTP/1.1 200\r\n", true, protocol.Yes},
		{s, "HTTP/1.1 2x0 OK\r\n", true, protocol.No},
		{s, "HTTP/2 200 OK\r\n", true, protocol.No},
		{s, "220 smtp", false, protocol.No},
	} {
		if got := New(Options{}).Detect(d.side, []byte(d.first), d.joined); got != d.want {
			t.Errorf("%v %.30q joined=%v: %v, want %v", d.side, d.first, d.joined, got, d.want)
		}
	}
}

func TestBodiesAreSkipped(t *testing.T) {
	const size = 1 << 30
	w := newWire(t, Options{}, false)
	feed := func(r run) protocol.Progress {
		s := &w.side[r.side]
		p := w.conn.Feed(protocol.Segment{Side: r.side, Offset: s.offset, Data: []byte(r.data), Fresh: len(r.data),
			Now: w.now, Begun: w.now, Started: true}, w.emit)
		s.offset += uint64(p.Consumed) + p.Skip
		w.now++
		return p
	}
	feed(cli("PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\nab", size))
	feed(cli("z"))
	p := feed(srv("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nab", size))
	if p.Skip != size-2-1 {
		t.Errorf("skip %d, want all but the last byte", p.Skip)
	}
	if len(w.out) != 0 {
		t.Error("left before its last byte")
	}
	feed(srv("z"))
	head := uint64(len("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"))
	if len(w.out) != 1 || w.out[0].RespBytes != head+size || w.out[0].ReqBytes != head-1+size || w.out[0].End != 3 {
		t.Errorf("%+v", w.out)
	}
	feed(cli("GET /c HTTP/1.1\r\n\r\n"))
	if p := feed(srv("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\nab")); p.Skip != 0xfffff-2 {
		t.Errorf("chunk: skip %d", p.Skip)
	}
	feed(srv("\r\n0\r\n\r\n"))
	if len(w.out) != 2 || w.out[1].RespBytes != 47+7+0xfffff+7 {
		t.Errorf("%+v", w.out[1:])
	}
}

func TestPendingIsBounded(t *testing.T) {
	w := newWire(t, Options{}, false)
	for range maxPending + 10 {
		w.send(protocol.Client, []byte("GET /x HTTP/1.1\r\n\r\n"), true)
	}
	for range maxPending + 10 {
		w.send(protocol.Server, []byte("HTTP/1.1 204 N\r\n\r\n"), true)
	}
	if len(w.out) != maxPending || w.conn.Counts() != (protocol.Counts{Orphans: 10, Dropped: 10}) {
		t.Errorf("%d exchanges, %+v", len(w.out), w.conn.Counts())
	}
	long := newWire(t, Options{}, false)
	long.send(protocol.Client, []byte("GET / HTTP/1.1\r\nA: "+strings.Repeat("x", maxLine)), true)
	long.send(protocol.Client, []byte("y"), false)
	if long.maxHeld > maxLine+1 {
		t.Errorf("%d bytes held", long.maxHeld)
	}
}

func TestAdopt(t *testing.T) {
	w := newWire(t, Options{}, true)
	w.now = 5
	w.conn.Adopt(&protocol.Exchange{Version: "1.1", Method: "HEAD", Path: "/seen", Start: 3, ReqOffset: 70, ReqBytes: 30})
	w.send(protocol.Server, []byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), true)
	if got, want := w.show(), "1.1 HEAD /seen host= 200 req=70+30 resp=39 t=3,5,5"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if w.out[0].Protocol != "http" {
		t.Errorf("protocol %q", w.out[0].Protocol)
	}
}
