package payload

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// step is one write, that the other end reads before the next one.
type step struct {
	server bool
	data   string
}

func ask(data string) step    { return step{false, data} }
func answer(data string) step { return step{true, data} }

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// script is what is said on one connection, and the exchanges in it.
type script struct {
	name  string
	steps []step
	want  map[string]int64
	// Bytes in no message of the exchanges: of a protocol that follows.
	otherReq, otherResp int
	// slow: at least one exchange is not counted in the kernel.
	slow bool
}

func (s *script) sent(server bool) (n int) {
	for _, st := range s.steps {
		if st.server == server {
			n += len(st.data)
		}
	}
	return n
}

func (s *script) exchanges() (n int64) {
	for _, c := range s.want {
		n += c
	}
	return n
}

func one(label string) map[string]int64 { return map[string]int64{label: 1} }

// pair is a connection with both of its ends.
func pair(t *testing.T, l net.Listener) (client, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	client, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if server = <-accepted; server == nil {
		t.Fatal("nobody accepted")
	}
	return client, server
}

// say plays the steps, of which each is a packet of its own if it fits into one.
func say(t *testing.T, client, server net.Conn, steps []step) {
	t.Helper()
	for _, s := range steps {
		from, to := client, server
		if s.server {
			from, to = server, client
		}
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(from, s.data)
			sent <- err
		}()
		if _, err := io.CopyN(io.Discard, to, int64(len(s.data))); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

// play opens a connection, says everything and closes it.
func play(t *testing.T, l net.Listener, steps []step) {
	t.Helper()
	client, server := pair(t, l)
	say(t, client, server, steps)
	client.Close()
	server.Close()
}

func body(n int) string { return strings.Repeat("b", n) }

func length(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n", n) }

func scripts() []script {
	head := "GET /head HTTP/1.1\r\nHost: x\r\n"
	long := "GET /long HTTP/1.1\r\nHost: x\r\nCookie: " + body(6000) + "\r\n\r\n"
	evil := strings.Repeat("GET /evil HTTP/1.1\r\n\r\n", 1000)
	return []script{
		{name: "one", steps: []step{ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), answer(ok)}, want: one("GET /a 200 1.1")},
		{name: "version 1.0", steps: []step{
			ask("GET /a HTTP/1.0\r\n\r\n"), answer("HTTP/1.0 404 Not Found\r\n\r\nno"),
		}, want: one("GET /a 404 1.0")},
		{name: "all methods", steps: []step{
			ask("GET /m HTTP/1.1\r\n\r\n"), answer(ok), ask("PUT /m HTTP/1.1\r\n" + length(3) + "abc"), answer(ok),
			ask("DELETE /m HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 204 No Content\r\n\r\n"),
			ask("OPTIONS /m HTTP/1.1\r\n\r\n"), answer(ok), ask("PATCH /m HTTP/1.1\r\n" + length(0)), answer(ok),
			ask("TRACE /m HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 405 No\r\n" + length(0)),
			ask("HEAD /m HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 200 OK\r\n" + length(9999)),
			ask("POST /m HTTP/1.1\r\n" + length(0)), answer("HTTP/1.1 304 Not Modified\r\n\r\n"),
		}, want: map[string]int64{
			"GET /m 200 1.1": 1, "PUT /m 200 1.1": 1, "DELETE /m 204 1.1": 1, "OPTIONS /m 200 1.1": 1,
			"PATCH /m 200 1.1": 1, "TRACE /m 405 1.1": 1, "HEAD /m 200 1.1": 1, "POST /m 304 1.1": 1,
		}},
		{name: "never answered", steps: []step{
			ask("GET /a HTTP/1.1\r\n\r\n"), answer(ok), ask("GET /lost HTTP/1.1\r\n\r\n"),
		}, want: map[string]int64{"GET /a 200 1.1": 1, "GET /lost 0 1.1": 1}},
		{name: "100-continue", steps: []step{
			ask("POST /c HTTP/1.1\r\nExpect: 100-continue\r\n" + length(22000)),
			answer("HTTP/1.1 100 Continue\r\n\r\n"), ask(evil), answer(ok), ask("GET /next HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"POST /c 200 1.1": 1, "GET /next 200 1.1": 1}},
		{name: "100-continue with the response", steps: []step{
			ask("POST /c HTTP/1.1\r\nExpect: 100-continue\r\n" + length(4)), ask("body"),
			answer("HTTP/1.1 100 Continue\r\n\r\n" + ok), ask("GET /next HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"POST /c 200 1.1": 1, "GET /next 200 1.1": 1}, slow: true},
		{name: "early hints", steps: []step{
			ask("GET /h HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"), answer(ok),
		}, want: one("GET /h 200 1.1"), slow: true},
		{name: "101 upgrade", steps: []step{
			ask("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
			answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
			ask("GET /inside HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: one("GET /ws 101 1.1"), otherReq: 24, otherResp: len(ok), slow: true},
		{name: "tunnel", steps: []step{
			ask("CONNECT example.org:443 HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 200 Connection established\r\n\r\n"),
			ask("GET /inside HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: one("CONNECT example.org:443 200 1.1"), otherReq: 24, otherResp: len(ok), slow: true},
		{name: "early response", steps: []step{
			ask("POST /big HTTP/1.1\r\n" + length(44000)), ask(evil), answer("HTTP/1.1 413 Too Large\r\n" + length(0)),
			ask(body(22000)),
		}, want: one("POST /big 413 1.1")},
		{name: "GET with a body", steps: []step{
			ask("GET /search HTTP/1.1\r\n" + length(7) + "{\"a\":1}"), answer(ok),
			ask("GET /search HTTP/1.1\r\n" + length(22000)), ask(body(22000)), answer(ok),
		}, want: map[string]int64{"GET /search 200 1.1": 2}},
		{name: "absolute form", steps: []step{
			ask("GET http://example.org/abs?q=1 HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: one("GET http://example.org/abs 200 1.1")},
		{name: "long path", steps: []step{
			ask("GET /" + body(127) + " HTTP/1.1\r\n\r\n"), answer(ok),
			ask("GET /" + body(3000) + "?q HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{
			"GET /" + body(127) + " 200 1.1": 1, "GET /" + body(keptPath-1) + "~ 200 1.1": 1,
		}},
		{name: "split method", steps: []step{
			ask("GE"), ask("T /split HTTP/1.1\r\n\r\n"), answer(ok), ask("GET /then HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"GET /split 200 1.1": 1, "GET /then 200 1.1": 1}, slow: true},
		{name: "split path", steps: []step{
			ask("GET /a HTTP/1.1\r\n\r\n"), answer(ok), ask("GET /sp"), ask("lit HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"GET /a 200 1.1": 1, "GET /split 200 1.1": 1}, slow: true},
		{name: "head in three packets", steps: []step{
			ask(head), ask("A: b\r\n"), ask("C: d\r\n\r\n"), answer(ok),
		}, want: one("GET /head 200 1.1")},
		{name: "head of 6 KB", steps: []step{ask(long), answer(ok), ask(long), answer(ok)},
			want: map[string]int64{"GET /long 200 1.1": 2}},
		{name: "pipelined behind a head of 6 KB", steps: []step{
			ask(long + "GET /second HTTP/1.1\r\n\r\n"), answer(ok + ok),
		}, want: map[string]int64{"GET /long 200 1.1": 1, "GET /second 200 1.1": 1}, slow: true},
		{name: "pipelined behind a head of 12 KB", steps: []step{
			ask(strings.Replace(long, "Host", "Cookie2: "+body(6000)+"\r\nHost", 1) +
				"GET /second HTTP/1.1\r\n\r\n"), answer(ok + ok),
		}, want: map[string]int64{"GET /long 200 1.1": 1, "GET /second 200 1.1": 1}, slow: true},
		{name: "pipelined", steps: []step{
			ask(strings.Repeat("GET /p HTTP/1.1\r\n\r\n", 8)), answer(strings.Repeat(ok, 8)),
			ask(strings.Repeat("GET /p HTTP/1.1\r\n\r\n", 8)), answer(ok), answer(strings.Repeat(ok, 7)),
		}, want: map[string]int64{"GET /p 200 1.1": 16}, slow: true},
		{name: "pipelined later", steps: []step{
			ask("GET /a HTTP/1.1\r\n\r\n"), answer(ok), ask("GET /b HTTP/1.1\r\n\r\n"), answer(ok),
			ask(strings.Repeat("GET /p HTTP/1.1\r\n\r\n", 8)), answer(strings.Repeat(ok, 8)),
			ask(strings.Repeat("GET /p HTTP/1.1\r\n\r\n", 8)), answer(ok), answer(strings.Repeat(ok, 7)),
		}, want: map[string]int64{"GET /a 200 1.1": 1, "GET /b 200 1.1": 1, "GET /p 200 1.1": 16}, slow: true},
		{name: "POST pipelined", steps: []step{
			ask(strings.Repeat("POST /p HTTP/1.1\r\n"+length(19)+"GET /p HTTP/1.1\r\n\r\n", 4)),
			answer(strings.Repeat(ok, 4)),
		}, want: map[string]int64{"POST /p 200 1.1": 4}, slow: true},
		{name: "pipelined in packets", steps: []step{
			ask("GET /p HTTP/1.1\r\n\r\n"), ask("GET /q HTTP/1.1\r\n\r\n"), answer(ok), answer(ok),
		}, want: map[string]int64{"GET /p 200 1.1": 1, "GET /q 200 1.1": 1}, slow: true},
		{name: "PROPFIND after GET", steps: []step{
			ask("GET /a HTTP/1.1\r\n\r\n"), answer(ok), ask("PROPFIND /dav HTTP/1.1\r\n\r\n"), answer(ok),
			ask("GET /b HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"GET /a 200 1.1": 1, "PROPFIND /dav 200 1.1": 1, "GET /b 200 1.1": 1}, slow: true},
		{name: "hostile body", steps: []step{
			ask("POST /up HTTP/1.1\r\n" + length(22000)), ask(evil[:220]), ask(evil[220:]),
			answer("HTTP/1.1 200 OK\r\n" + length(22000)), answer(evil[:220]), answer(evil[220:]),
			ask("GET /after HTTP/1.1\r\n\r\n"), answer(ok),
		}, want: map[string]int64{"POST /up 200 1.1": 1, "GET /after 200 1.1": 1}},
		{name: "response in many packets", steps: []step{
			ask("GET /big HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 200 OK\r\n" + length(2<<20)), answer(body(2 << 20)),
			ask("GET /chunked HTTP/1.1\r\n\r\n"), answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
			answer("5\r\nHTTP/\r\n"), answer("3\r\n1.1\r\n"), answer("0\r\n\r\n"),
		}, want: map[string]int64{"GET /big 200 1.1": 1, "GET /chunked 200 1.1": 1}},
	}
}

// keptPath is how much of a path is kept by default.
const keptPath = 160

// TestScripts: what is said on a connection, message by message, is what both
// of its ends are seen to say.
func TestScripts(t *testing.T) {
	b := start(t, testConfig())
	ports := map[string]int{}
	for _, s := range scripts() {
		l := listen(t, "tcp4", "127.0.0.1:0")
		play(t, l, s.steps)
		ports[s.name] = portOf(l.Addr())
	}
	for _, s := range scripts() {
		b.await(ports[s.name], s.exchanges())
	}
	b.finish()
	for _, s := range scripts() {
		t.Run(s.name, func(t *testing.T) {
			b.t = t
			port := ports[s.name]
			b.checkBoth(port, s.want, int64(s.sent(false)-s.otherReq), int64(s.sent(true)-s.otherResp))
			fast := sumOf(b.rows, incoming(port)).Count
			if !s.slow && fast != s.exchanges() {
				t.Errorf("%d exchanges were counted in the kernel, want all %d", fast, s.exchanges())
			}
			if t.Failed() {
				b.explain(port)
			}
		})
	}
}
