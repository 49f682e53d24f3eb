package http1

import (
	"fmt"
	"testing"

	"weft/protocol"
)

// hole is bytes of a run that are lost.
type hole struct{ run }

func lostCli(format string, args ...any) hole { return hole{cli(format, args...)} }
func lostSrv(format string, args ...any) hole { return hole{srv(format, args...)} }

const (
	ok204 = "HTTP/1.1 204 N\r\n\r\n"
	get   = "GET /%d HTTP/1.1\r\n\r\n"
)

// What a hole costs: never a wrong match, and one exchange where the client
// waits for answers.
func TestLost(t *testing.T) {
	for _, c := range []struct {
		name string
		runs []any
		want string
	}{
		{"inside bodies", []any{
			cli("POST /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\na"), lostCli("bcdef"), cli("ghi"),
			srv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"), lostSrv("bcdef"), srv("ghi")},
			"1.1 POST /1 host= 200 req=0+48 resp=47 t=1,4,6"},
		{"the end of a body", []any{
			cli(get, 1), srv("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"), lostSrv("bcdefghi"),
			cli(get, 2), srv(ok204)},
			"1.1 GET /1 host= 200 req=0+19 resp=47 t=1,2,2\n1.1 GET /2 host= 204 req=19+19 resp=18 t=4,5,5"},
		{"inside a chunk", []any{
			cli(get, 1), srv("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\na"), lostSrv("bcdefghi"),
			srv("\r\n0\r\n\r\n")},
			"1.1 GET /1 host= 200 req=0+19 resp=66 t=1,2,4"},
		{"until close", []any{
			cli(get, 1), srv("HTTP/1.0 200 OK\r\n\r\nab"), lostSrv("cd"), srv("ef")},
			"1.1 GET /1 host= 200 req=0+19 resp=25 t=1,2,4"},
		{"a response", []any{
			cli(get, 1), lostSrv(ok204), cli(get, 2), srv(ok204), cli(get, 3), srv(ok204)},
			"1.1 GET /3 host= 204 req=38+19 resp=18 t=5,6,6\norphans=1 dropped=2"},
		{"the head of a response", []any{
			cli(get, 1), lostSrv("HTTP/1.1 200 OK\r\n"), srv("Content-Length: 0\r\n\r\n"), cli(get, 2),
			srv(ok204), cli(get, 3), srv(ok204)},
			"1.1 GET /3 host= 204 req=38+19 resp=18 t=6,7,7\norphans=1 dropped=2"},
		{"the end of a response's head", []any{
			cli(get, 1), srv("HTTP/1.1 200 OK\r\nA: "), lostSrv("b\r\n"), srv("Content-Length: 0\r\n\r\n"),
			cli(get, 2), srv(ok204)},
			"1.1 GET /1 host= 200 req=0+19 resp=17 t=1,2,2 incomplete=response\n" +
				"1.1 GET /2 host= 204 req=19+19 resp=18 t=5,6,6"},
		{"a response of a pipeline", []any{
			cli(get+get+get, 1, 2, 3), srv(ok204), lostSrv(ok204), cli(get, 4), srv(ok204), cli(get, 5), srv(ok204)},
			"1.1 GET /1 host= 204 req=0+19 resp=18 t=1,2,2\norphans=2 dropped=4"},
		{"a request", []any{
			cli(get, 1), srv(ok204), lostCli(get, 2), srv(ok204), cli(get, 3), srv(ok204)},
			"1.1 GET /1 host= 204 req=0+19 resp=18 t=1,2,2\n" +
				"1.1 GET /3 host= 204 req=38+19 resp=18 t=5,6,6\norphans=1 dropped=0"},
		{"requests behind a pending one", []any{
			cli(get, 1), lostCli(get+get, 2, 3), srv(ok204), srv(ok204), srv(ok204), cli(get, 4), srv(ok204)},
			"1.1 GET /1 host= 204 req=0+19 resp=18 t=1,3,3\n" +
				"1.1 GET /4 host= 204 req=57+19 resp=18 t=6,7,7\norphans=2 dropped=0"},
		{"a request of a pipeline", []any{
			cli(get+get, 1, 2), lostCli(get, 3), cli(get, 4), srv(ok204 + ok204), srv(ok204), srv(ok204)},
			"1.1 GET /1 host= 204 req=0+19 resp=18 t=1,4,4\n" +
				"1.1 GET /2 host= 204 req=19+19 resp=18 t=1,4,4\norphans=2 dropped=1"},
		{"the end of a request's head", []any{
			cli("GET /1 HTTP/1.1\r\nHost:"), lostCli(" h\r\n\r\n"), srv(ok204), cli(get, 2), srv(ok204)},
			"1.1 GET /1 host= 204 req=0+17 resp=18 t=1,3,3 incomplete=request\n" +
				"1.1 GET /2 host= 204 req=28+19 resp=18 t=4,5,5"},
		{"no start line at the start of a segment", []any{
			cli(get, 1), lostSrv(ok204), srv("x" + ok204), cli(get, 2), srv(ok204)},
			"orphans=1 dropped=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(30) {
				if got := playHoles(t, c.runs, random(seed)); got != c.want {
					t.Fatalf("split %d: got\n%s\nwant\n%s", seed, got, c.want)
				}
			}
			if got := playHoles(t, c.runs, whole); got != c.want {
				t.Errorf("whole: got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func playHoles(t *testing.T, runs []any, cut func(int) int) string {
	t.Helper()
	w := newWire(t, Options{}, false)
	for _, r := range runs {
		w.now++
		if h, ok := r.(hole); ok {
			w.lose(h.side, uint64(len(h.data)))
			continue
		}
		r := r.(run)
		for at := 0; at < len(r.data); {
			n := min(cut(len(r.data)-at), len(r.data)-at)
			w.send(r.side, []byte(r.data[at:at+n]), at == 0)
			at += n
		}
	}
	w.conn.Close(w.now+1, w.emit)
	return w.show()
}

// A hole is known when bytes behind it come, which may be after the next
// request: a client that was seen to wait did wait.
func TestHoleFoundLate(t *testing.T) {
	for _, c := range []struct {
		name  string
		waits int
		want  uint64 // dropped
		left  int
	}{{"seen to wait", enoughWaits, 2, enoughWaits + 1}, {"not yet", enoughWaits - 2, 3, enoughWaits - 2}} {
		w, all := newWire(t, Options{}, false), 0
		ask := func() {
			all++
			w.now++
			w.send(protocol.Client, fmt.Appendf(nil, get, all), true)
		}
		answer := func() {
			w.now++
			w.send(protocol.Server, []byte(ok204), true)
		}
		for range c.waits - 1 {
			ask()
			answer()
		}
		ask()
		w.send(protocol.Server, []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), true)
		ask()
		w.lose(protocol.Server, 3) // the end of one, exactly
		answer()
		if n := w.conn.Counts(); n != (protocol.Counts{}) || w.conn.pipelined || len(w.out) != c.waits+1 {
			t.Errorf("%s: %+v, %d left", c.name, n, len(w.out))
		}
		ask()
		ask()
		w.lose(protocol.Server, uint64(len(ok204)))
		answer()
		ask()
		answer()
		if n := w.conn.Counts(); n.Dropped != c.want || len(w.out) != c.left+1 {
			t.Errorf("%s: %+v, %d left", c.name, n, len(w.out))
		}
	}
}

// A request that is fed after its own response must not take the next one.
func TestRequestFedLate(t *testing.T) {
	w := newWire(t, Options{}, false)
	w.now = 10
	w.send(protocol.Server, []byte(ok204), true)
	w.now = 9
	w.send(protocol.Client, []byte("GET /late HTTP/1.1\r\n\r\n"), true)
	w.now = 11
	w.send(protocol.Client, []byte("GET /next HTTP/1.1\r\n\r\n"), true)
	w.now = 12
	w.send(protocol.Server, []byte(ok204), true)
	if got, want := w.show(), "1.1 GET /next host= 204 req=22+22 resp=18 t=11,12,12\norphans=1 dropped=1"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
