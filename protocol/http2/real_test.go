package http2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
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
	c.runs = append(c.runs, run{side: side, data: string(b)})
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

// record has a net/http client and server talk, 100 requests at a time, and
// returns their bytes and the handler's truth: requests by what was asked.
func record(t *testing.T) (conns []*recorded, truth map[string]int) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, truth := &recorder{Listener: inner}, map[string]int{}
	var mu sync.Mutex
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		var id, code, size int
		fmt.Sscanf(r.URL.Path, "/%d/%d/%d", &id, &code, &size)
		mu.Lock()
		truth[fmt.Sprint(r.Method, " ", r.URL.Path, " ", code)]++
		mu.Unlock()
		w.Header().Set("X-Id", r.URL.Path)
		w.WriteHeader(code)
		w.Write(bytes.Repeat([]byte("x"), size))
	})}
	go server.Serve(l)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	var wg sync.WaitGroup
	for worker := range 100 {
		wg.Go(func() {
			for i := range 6 {
				method := []string{"GET", "POST", "PUT"}[i%3]
				code, size := []int{200, 404, 500, 418}[worker%4], []int{0, 5, 3000, 40000}[(worker+i)%4]
				url := fmt.Sprintf("http://%s/%d/%d/%d?q=%d", inner.Addr(), worker%30, code, size, i)
				var body io.Reader
				if method != "GET" {
					body = strings.NewReader(strings.Repeat("y", size))
				}
				request, err := http.NewRequest(method, url, body)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	server.Close()
	return l.conns, truth
}

// sizes are the bytes of each stream until it is over, added up frame by frame.
// A frame counts when its header is there, and ends a stream when it is whole.
func sizes(runs []run) map[uint32][2]uint64 {
	var held [2][]byte
	var counted [2]bool
	out, ended, prelude := map[uint32][2]uint64{}, map[uint32]int{}, len(preface)
	for _, r := range runs {
		b := append(held[r.side], r.data...)
		if r.side == protocol.Client && prelude > 0 {
			n := min(prelude, len(b))
			b, prelude = b[n:], prelude-n
		}
		for len(b) >= headerLen {
			f := parseFrame(b)
			if f.stream != 0 && ended[f.stream] < 2 && !counted[r.side] {
				n := out[f.stream]
				n[r.side] += f.bytes()
				out[f.stream] = n
			}
			counted[r.side] = true
			if len(b) < int(f.bytes()) {
				break
			}
			b, counted[r.side] = b[f.bytes():], false
			if (f.kind == frameData || f.kind == frameHeaders) && f.has(flagEndStream) {
				ended[f.stream]++
			}
		}
		held[r.side] = b
	}
	return out
}

func TestNetHTTP(t *testing.T) {
	conns, truth := record(t)
	p, got := New(Options{}), map[string]int{}
	for _, c := range conns {
		want := sizes(c.runs)
		for seed := range uint64(5) {
			cut := random(seed)
			if seed == 0 {
				cut = whole
			}
			w := play(t, p.Open(false), c.runs, cut)
			if w.end != "" || w.conn.Counts() != (protocol.Counts{}) || len(w.out) != len(want) {
				t.Errorf("%d exchanges of %d, end %q, %+v", len(w.out), len(want), w.end, w.conn.Counts())
			}
			for _, e := range w.out {
				if n := want[e.StreamID]; n != [2]uint64{e.ReqBytes, e.RespBytes} || len(e.Attrs) > 0 {
					t.Errorf("%s, want bytes %v", show(e), n)
				}
				if seed == 0 {
					got[fmt.Sprint(e.Method, " ", e.Path, " ", e.Status)]++
				}
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(truth) {
		t.Errorf("got  %v\nwant %v", got, truth)
	}
}

// Joined anywhere and with packets lost, what leaves is right or "unknown".
func TestNeverWrong(t *testing.T) {
	conns, _ := record(t)
	p := New(Options{})
	total, known := 0, 0
	for _, c := range conns {
		if len(c.runs) < 100 {
			continue // the client dialed more than it needed
		}
		truth := map[uint32]protocol.Exchange{}
		for _, e := range play(t, p.Open(false), c.runs, whole).out {
			truth[e.StreamID] = e
		}
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 3))
			w := play(t, p.Open(true), damaged(r, c.runs, int(seed%3)), whole)
			for _, e := range w.out {
				want := truth[e.StreamID]
				if total++; e.Path == want.Path {
					known++
				}
				if e.Path != want.Path && e.Path != unknown || e.Method != want.Method && e.Method != unknown ||
					e.Status != want.Status && (e.Status != 0 || len(e.Attrs) == 0) || e.ReqOffset != want.ReqOffset ||
					e.Start != want.Start || e.First != want.First && e.First != 0 {
					t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, show(e), show(want))
				}
			}
		}
	}
	if total < 1000 || known*4 < total {
		t.Errorf("%d of %d paths known", known, total)
	}
	t.Logf("%d of %d paths known", known, total)
}

// damaged leaves out the beginning, and loses holes packets.
func damaged(r *rand.Rand, runs []run, holes int) []run {
	from := r.IntN(len(runs) / 3)
	out := append([]run{}, runs...)
	for i := range out[:from] {
		out[i].lost = true
	}
	for range holes {
		out[from+r.IntN(len(out)-from)].lost = true
	}
	return out
}
