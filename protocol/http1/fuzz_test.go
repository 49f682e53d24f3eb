package http1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/protocol"
)

// FuzzFeed plays a script: each op byte chooses side, loss, packet start and
// how many of the bytes that follow it takes.
func FuzzFeed(f *testing.F) {
	for _, c := range exchanges() {
		f.Add(script(c.runs), c.joined)
	}
	f.Fuzz(func(t *testing.T, ops []byte, joined bool) {
		w := newWire(t, Options{MaxPath: 100}, joined)
		var client []byte // what was seen of it; a hole is a NUL, which no path has
		for len(ops) > 1 && w.end == "" {
			side, lost := protocol.Side(ops[0]&1), ops[0]&0xf0 == 0xf0
			n := min(int(ops[1]), len(ops)-2)
			data := ops[2 : 2+n]
			w.now++
			switch {
			case lost:
				w.lose(side, uint64(n)+1)
				data = []byte{0}
			default:
				w.send(side, data, ops[0]&2 != 0)
			}
			if side == protocol.Client {
				client = append(client, data...)
			}
			ops = ops[2+n:]
		}
		w.conn.Close(w.now, w.emit)
		if w.maxHeld > maxLine+1 || len(w.conn.queue) > maxPending {
			t.Errorf("%d bytes held, %d requests", w.maxHeld, len(w.conn.queue))
		}
		for _, e := range w.out {
			if e.Path != "/" && !bytes.Contains(client, []byte(e.Path)) {
				t.Errorf("path %q was not in the bytes", e.Path)
			}
			if e.Start > e.End || e.First > e.End || e.Status != 0 && e.First < e.Start {
				t.Errorf("times: %s", show(e))
			}
		}
	})
}

func script(runs []run) (ops []byte) {
	for _, r := range runs {
		for data := r.data; len(data) > 0; {
			n := min(len(data), 255)
			ops = append(append(ops, byte(r.side)|2, byte(n)), data[:n]...)
			data = data[n:]
		}
	}
	return ops
}

// Whatever is lost, a request never gets another's response. Each request asks
// for the status that its response has.
func TestNeverAWrongMatch(t *testing.T) {
	emitted, sent := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWire(t, Options{}, seed%3 == 0)
		pipelines, slides := seed%2 == 0, seed%3 != 0 && seed%5 == 1
		var outstanding []string
		for i := range 30 {
			depth := 1
			if pipelines {
				depth = 2 + r.IntN(4)
			}
			w.safe = slides && i < 4
			var requests, responses []string
			for range depth {
				sent++
				q, a := pair(r, 200+r.IntN(300))
				requests, responses = append(requests, q), append(responses, a)
			}
			deliver(w, r, protocol.Client, strings.Join(requests, ""))
			outstanding = append(outstanding, responses...)
			if slides && i == 0 {
				continue // from now on one is always outstanding
			}
			answered := len(outstanding)
			if slides {
				answered -= depth
			}
			deliver(w, r, protocol.Server, strings.Join(outstanding[:answered], ""))
			outstanding = outstanding[answered:]
		}
		w.conn.Close(w.now, w.emit)
		emitted += len(w.out)
		for _, e := range w.out {
			if e.Status != 0 && e.Path != fmt.Sprintf("/%d", e.Status) {
				t.Fatalf("seed %d: wrong match: %s", seed, show(e))
			}
		}
		if w.end != "" {
			t.Fatalf("seed %d: ended %s", seed, w.end)
		}
	}
	if emitted < sent/4 {
		t.Errorf("only %d of %d left", emitted, sent)
	}
	t.Logf("%d of %d exchanges left", emitted, sent)
}

// pair is a request and its response, with all kinds of bodies.
func pair(r *rand.Rand, status int) (request, response string) {
	body := strings.Repeat("b", r.IntN(300))
	if status == 204 || status == 304 {
		return fmt.Sprintf("GET /%d HTTP/1.1\r\n\r\n", status), fmt.Sprintf("HTTP/1.1 %d X\r\n\r\n", status)
	}
	request = fmt.Sprintf("POST /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	switch r.IntN(3) {
	case 0:
		request = fmt.Sprintf("HEAD /%d HTTP/1.1\r\nA: b\r\n\r\n", status)
		response = fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 55\r\n\r\n", status)
	case 1:
		response = fmt.Sprintf("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"%x\r\n%s\r\n0\r\n\r\n", status, len(body)+1, body+"e")
	default:
		response = fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	}
	return request, response
}

// deliver sends data in packets, of which some are lost.
func deliver(w *wire, r *rand.Rand, side protocol.Side, data string) {
	for len(data) > 0 {
		n := min(1+r.IntN(200), len(data))
		w.now++
		if r.IntN(40) == 0 && !w.safe {
			w.lose(side, uint64(n))
		} else {
			w.send(side, []byte(data[:n]), true)
		}
		data = data[n:]
	}
}

func BenchmarkExchange(b *testing.B) {
	request := []byte("GET /api/v1/users?id=7 HTTP/1.1\r\nHost: example.org\r\n" +
		"User-Agent: curl/8.0\r\nAccept: */*\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n" +
		"Content-Type: text/html\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello")
	conn := New(Options{MaxPath: 1024}).Open(false)
	emitted := 0
	emit := func(*protocol.Exchange) { emitted++ }
	b.ReportAllocs()
	b.SetBytes(int64(len(request) + len(response)))
	for i := range b.N {
		now := int64(i)
		for side, data := range [][]byte{request, response} {
			conn.Feed(protocol.Segment{Side: protocol.Side(side), Data: data, Fresh: len(data), Now: now, Started: true}, emit)
		}
	}
	if emitted != b.N {
		b.Fatalf("%d of %d emitted", emitted, b.N)
	}
}
