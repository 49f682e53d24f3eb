package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weft/protocol"
)

// recorder is a listener whose connections keep, in order, what each side sent.
type recorder struct {
	net.Listener
	mu    sync.Mutex
	conns []*recorded
}

type recorded struct {
	net.Conn
	mu   sync.Mutex
	runs []run
}

func (l *recorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recorded{Conn: c}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, r)
	return r, nil
}

func (c *recorded) note(side protocol.Side, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = append(c.runs, run{side, string(b)})
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.note(protocol.Client, b[:n])
	return n, err
}

func (c *recorded) Write(b []byte) (int, error) {
	c.note(protocol.Server, b) // before the client can answer to it
	return c.Conn.Write(b)
}

// The bytes of net/http's client and server, against what the handler saw.
func TestNetHTTP(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &recorder{Listener: inner}
	var mu sync.Mutex
	truth := map[string]int{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		var status, size int
		fmt.Sscanf(r.URL.Path, "/%d/%d", &status, &size)
		mu.Lock()
		truth[fmt.Sprint(r.Method, r.URL.Path, r.Host, status)]++
		mu.Unlock()
		if r.URL.Query().Has("early") {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(status)
		for part := bytes.Repeat([]byte("x"), 1000); size > 0; size -= len(part) {
			w.Write(part[:min(size, len(part))])
			if r.URL.Query().Has("flush") {
				w.(http.Flusher).Flush()
			}
		}
	})}
	go server.Serve(l)
	requests(t, "http://"+inner.Addr().String())
	server.Close()
	got := map[string]int{}
	for _, c := range l.conns {
		for seed := range uint64(20) {
			cut := random(seed)
			if seed == 0 {
				cut = whole
			}
			w := play(t, Options{}, false, c.runs, cut)
			var sums, sent [2]uint64
			for _, e := range w.out {
				sums[0], sums[1] = sums[0]+e.ReqBytes, sums[1]+e.RespBytes
				if seed == 0 {
					got[fmt.Sprint(e.Method, e.Path, e.Host, e.Status)]++
				}
			}
			for _, r := range c.runs {
				sent[r.side] += uint64(len(r.data))
			}
			if sums != sent || w.conn.Counts() != (protocol.Counts{}) || w.end != "" {
				t.Errorf("seed %d: bytes %v of %v; %s", seed, sums, sent, w.show())
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(truth) || len(got) < 20 {
		t.Errorf("got  %v\nwant %v", got, truth)
	}
}

// requests of all kinds, some at the same time.
func requests(t *testing.T, url string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, method := range []string{"GET", "POST", "HEAD", "PUT", "DELETE", "PROPFIND"} {
				for _, target := range strings.Fields("/200/0 /200/5 /404/3000 /500/100?flush /204/0 /201/9?early /304/0") {
					chunked := io.LimitReader(strings.NewReader(strings.Repeat("y", 9000)), 8999)
					for _, body := range []io.Reader{nil, strings.NewReader("known"), chunked} {
						request, err := http.NewRequest(method, url+target, body)
						if err != nil {
							t.Error(err)
							return
						}
						request.Header.Set("Expect", "100-continue")
						response, err := http.DefaultClient.Do(request)
						if err != nil {
							t.Error(err)
							return
						}
						io.Copy(io.Discard, response.Body)
						response.Body.Close()
					}
				}
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
}
