package payload

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wire counts the bytes of all connections of a client.
type wire struct{ sent, received, conns atomic.Int64 }

type wireConn struct {
	net.Conn
	w *wire
}

func (c wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.received.Add(int64(n))
	return n, err
}

func (c wireConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.w.sent.Add(int64(n))
	return n, err
}

// transport counts in w and speaks HTTP/1, or HTTP/2 from the first byte.
func transport(w *wire, network string, h2 bool) *http.Transport {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w.conns.Add(1)
		return wireConn{c, w}, nil
	}}
	tr.DisableCompression = true
	tr.Protocols = &http.Protocols{}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	return tr
}

// site answers /status/CODE/SIZE[/chunked] with that, after reading the body.
func site(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	part := strings.Split(r.URL.Path, "/")
	code, _ := strconv.Atoi(part[2])
	size, _ := strconv.Atoi(part[3])
	if len(part) < 5 {
		w.Header().Set("Content-Length", part[3])
	}
	w.WriteHeader(code)
	if len(part) > 4 {
		w.(http.Flusher).Flush()
	}
	if code == 200 || code == 404 {
		io.WriteString(w, body(size))
	}
}

// serve starts a server of HTTP/1 and of HTTP/2 in clear text.
func serve(t *testing.T, l net.Listener, h http.HandlerFunc) {
	t.Helper()
	s := &http.Server{Handler: h, Protocols: &http.Protocols{}}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// fetch makes one request and counts what it was in want.
func fetch(t *testing.T, c *http.Client, want map[string]int64, version, method, base, path string, up int) {
	t.Helper()
	var content io.Reader
	if up >= 0 {
		content = strings.NewReader(body(up))
	}
	req, err := http.NewRequest(method, base+path, content)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if path, _, _ = strings.Cut(path, "?"); want != nil {
		want[label(method, path, false, res.StatusCode, version)]++
	}
}

// wander makes a mix of requests.
func wander(t *testing.T, c *http.Client, version, base string) map[string]int64 {
	t.Helper()
	want := map[string]int64{}
	for _, size := range []int{0, 1, 100, 5000, 70000, 2 << 20} {
		for range 3 {
			fetch(t, c, want, version, "GET", base, fmt.Sprintf("/s/200/%d?q=%d", size, size), -1)
			fetch(t, c, want, version, "GET", base, fmt.Sprintf("/s/404/%d/chunked", size), -1)
			fetch(t, c, want, version, "POST", base, "/s/200/2", size)
		}
	}
	for _, m := range []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		fetch(t, c, want, version, m, base, "/s/200/3000", -1)
	}
	fetch(t, c, want, version, "GET", base, "/s/204/0/chunked", -1)
	fetch(t, c, want, version, "GET", base, "/s/304/0/chunked", -1)
	return want
}

func count(want map[string]int64) (n int64) {
	for _, c := range want {
		n += c
	}
	return n
}

// TestHTTP: Go's client and server, by IPv4, IPv6 and IPv4 through an IPv6
// socket, on kept and on new connections. Every byte of the connections is of
// some message.
func TestHTTP(t *testing.T) {
	b := start(t, testConfig())
	for _, r := range []struct {
		name, listen, network, host string
		fresh                       bool
	}{
		{"IPv4", "127.0.0.1:0", "tcp4", "127.0.0.1", false},
		{"IPv4 close", "127.0.0.1:0", "tcp4", "127.0.0.1", true},
		{"IPv6", "[::1]:0", "tcp6", "::1", false},
		{"mapped", "[::]:0", "tcp4", "127.0.0.1", false},
	} {
		t.Run(r.name, func(t *testing.T) {
			l := listen(t, "tcp", r.listen)
			serve(t, l, site)
			w := &wire{}
			tr := transport(w, r.network, false)
			tr.DisableKeepAlives = r.fresh
			base := "http://" + net.JoinHostPort(r.host, strconv.Itoa(portOf(l.Addr())))
			want := wander(t, &http.Client{Transport: tr}, "1.1", base)
			tr.CloseIdleConnections()
			l.Close()
			b.t = t
			b.await(portOf(l.Addr()), count(want))
			// The rests of the last responses come with the ends of the connections.
			b.until(func() bool {
				s, c := b.sum(incoming(portOf(l.Addr()))), b.sum(outgoing(portOf(l.Addr())))
				return s.Resp >= w.received.Load() && c.Resp >= w.received.Load()
			})
			b.mu.Lock()
			defer b.mu.Unlock()
			b.checkBoth(portOf(l.Addr()), want, w.sent.Load(), w.received.Load())
			b.checkAddr(portOf(l.Addr()), netip.MustParseAddr(r.host))
			if r.fresh != (w.conns.Load() == count(want)) {
				t.Errorf("%d connections", w.conns.Load())
			}
			if fast := sumOf(b.rows, incoming(portOf(l.Addr()))).Count; fast != count(want) {
				t.Errorf("%d of %d were counted in the kernel", fast, count(want))
			}
		})
	}
	b.t = t
	b.finish()
}

func (b *bench) checkAddr(port int, want netip.Addr) {
	b.t.Helper()
	for _, r := range b.rows {
		if (incoming(port)(r) || outgoing(port)(r)) && (r.Src != want || r.Dst != want) {
			b.t.Errorf("%s → %s, want %s", r.Src, r.Dst, want)
			return
		}
	}
}

// TestTimes: latency is up to the response's first byte, duration to its last,
// and neither is longer than the client waited.
func TestTimes(t *testing.T) {
	b := start(t, testConfig())
	l := listen(t, "tcp4", "127.0.0.1:0")
	const pause, times = 60 * time.Millisecond, 5
	serve(t, l, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(pause)
		w.(http.Flusher).Flush()
		time.Sleep(pause)
	})
	tr := transport(&wire{}, "tcp4", false)
	var headed, whole time.Duration
	for range times {
		began := time.Now()
		res, err := (&http.Client{Transport: tr}).Get("http://" + l.Addr().String() + "/")
		if err != nil {
			t.Fatal(err)
		}
		headed += time.Since(began)
		io.Copy(io.Discard, res.Body)
		whole += time.Since(began)
		res.Body.Close()
	}
	tr.CloseIdleConnections()
	b.await(portOf(l.Addr()), times)
	b.until(func() bool { return b.sum(outgoing(portOf(l.Addr()))).duration >= int64(times*2*pause) })
	b.finish()
	for side, match := range sides(portOf(l.Addr())) {
		got := b.sum(match)
		if got.answered != times || got.latency < int64(times*pause) || got.latency > int64(headed) {
			t.Errorf("%s: %d answered after %v, the client waited %v", side, got.answered, time.Duration(got.latency), headed)
		}
		if got.duration < int64(times*2*pause) || got.duration > int64(whole) {
			t.Errorf("%s: duration %v, the client waited %v", side, time.Duration(got.duration), whole)
		}
		if got.longest < int64(pause) || got.longest > got.latency-int64((times-1)*pause) {
			t.Errorf("%s: longest %v", side, time.Duration(got.longest))
		}
	}
}

// TestDeferredAccept: the request comes before its socket is there.
func TestDeferredAccept(t *testing.T) {
	b := start(t, testConfig())
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 10) })
		return err
	}}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var w wire
		want := map[string]int64{}
		serve(t, l, site)
		tr := transport(&w, "tcp", false)
		for range 10 {
			fetch(t, &http.Client{Transport: tr}, want, "1.1", "GET", "http://"+l.Addr().String(), "/s/200/300", -1)
			fetch(t, &http.Client{Transport: tr}, want, "1.1", "GET", "http://"+l.Addr().String(), "/s/404/100", -1)
			tr.CloseIdleConnections()
		}
		b.await(portOf(l.Addr()), count(want))
		b.mu.Lock()
		b.checkBoth(portOf(l.Addr()), want, w.sent.Load(), w.received.Load())
		b.mu.Unlock()
	}
	b.finish()
}

// TestQuery: what is behind '?' is kept when asked for.
func TestQuery(t *testing.T) {
	cfg := testConfig()
	cfg.L7.KeepQuery = true
	b := start(t, cfg)
	l := listen(t, "tcp4", "127.0.0.1:0")
	play(t, l, []step{ask("GET /a?b=c HTTP/1.1\r\n\r\n"), answer(ok), ask("GET /a?b=d HTTP/1.1\r\n\r\n"), answer(ok)})
	b.await(portOf(l.Addr()), 2)
	b.finish()
	b.checkBoth(portOf(l.Addr()), map[string]int64{"GET /a?b=c 200 1.1": 1, "GET /a?b=d 200 1.1": 1}, 46, 80)
}

// TestHTTP2: prior knowledge; all of it is parsed in user space, without bodies.
func TestHTTP2(t *testing.T) {
	b := start(t, testConfig())
	l := listen(t, "tcp4", "127.0.0.1:0")
	serve(t, l, site)
	w := &wire{}
	tr := transport(w, "tcp4", true)
	want := wander(t, &http.Client{Transport: tr}, "2", "http://"+l.Addr().String())
	tr.CloseIdleConnections()
	b.await(portOf(l.Addr()), count(want))
	b.finish()
	data := uint64(0)
	for _, c := range b.conns {
		if int(c.Flow.SrcPort) != portOf(l.Addr()) && int(c.Flow.DstPort) != portOf(l.Addr()) {
			continue
		}
		if c.Joined || !c.closed {
			t.Errorf("joined %v, closed %v", c.Joined, c.closed)
		}
		for _, k := range c.chunks {
			data += uint64(len(k.data))
		}
	}
	for side, match := range sides(portOf(l.Addr())) {
		if got := b.counts(match); difference(got, want) != "" {
			t.Errorf("%s:%s", side, difference(got, want))
			b.counters()
		}
	}
	// Packets of loopback overtake each other where two CPUs deliver them, and are
	// copied whole until frames are found again.
	whole := b.stat(bpfPayloadStatSTAT_WHOLE)
	if total := uint64(w.sent.Load() + w.received.Load()); data > total/10+uint64(whole)<<16 {
		t.Errorf("%d of %d bytes went to user space, and %d packets whole", data, total, whole)
	}
}

// TestJoined: connections that were open before are counted from their next
// request on.
func TestJoined(t *testing.T) {
	needRoot(t)
	l, l2 := listen(t, "tcp4", "127.0.0.1:0"), listen(t, "tcp4", "127.0.0.1:0")
	serve(t, l, site)
	serve(t, l2, site)
	old, old2 := transport(&wire{}, "tcp4", false), transport(&wire{}, "tcp4", true)
	base, base2 := "http://"+l.Addr().String(), "http://"+l2.Addr().String()
	for range 5 {
		fetch(t, &http.Client{Transport: old}, nil, "1.1", "GET", base, "/s/200/90000", 90000)
		fetch(t, &http.Client{Transport: old2}, nil, "2", "GET", base2, "/s/200/9000", 9000)
	}
	b := start(t, testConfig())
	want, want2 := map[string]int64{}, map[string]int64{}
	for range 20 {
		fetch(t, &http.Client{Transport: old}, want, "1.1", "GET", base, "/s/200/100", -1)
		fetch(t, &http.Client{Transport: old2}, want2, "2", "GET", base2, "/s/200/100", -1)
	}
	old.CloseIdleConnections()
	old2.CloseIdleConnections()
	b.await(portOf(l.Addr()), 20)
	b.await(portOf(l2.Addr()), 20)
	b.finish()
	for side, match := range sides(portOf(l.Addr())) {
		if got := b.counts(match); difference(got, want) != "" {
			t.Errorf("%s:%s", side, difference(got, want))
		}
	}
	// What was said to the table of HPACK before is not known: paths may be.
	if s, c := b.sum(incoming(portOf(l2.Addr()))).Count, b.sum(outgoing(portOf(l2.Addr()))).Count; s != 20 || c != 20 {
		t.Errorf("HTTP/2: server %d, client %d, want 20", s, c)
		b.explain(portOf(l2.Addr()))
	}
}
