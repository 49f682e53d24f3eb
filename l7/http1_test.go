package l7

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weft/protocol"
	"weft/protocol/http1"
)

// tap is a connection that records what passes as chunks.
type tap struct {
	net.Conn
	mu  sync.Mutex
	cs  []Chunk
	off [2]uint64
}

func (p *tap) record(sd protocol.Side, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cs = append(p.cs, Chunk{Conn: id(1), Side: sd, Offset: p.off[sd], Data: slices.Clone(b),
		Len: uint64(len(b)), Time: int64(len(p.cs)+1) * ms})
	p.off[sd] += uint64(len(b))
}

func (p *tap) Write(b []byte) (int, error) {
	p.record(client, b)
	return p.Conn.Write(b)
}

func (p *tap) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.record(server, b[:n])
	}
	return n, err
}

// serve answers /size/status with so many bytes, chunked when it is told so.
func serve(w http.ResponseWriter, q *http.Request) {
	io.Copy(io.Discard, q.Body)
	part := strings.Split(q.URL.Path, "/")
	size, _ := strconv.Atoi(part[1])
	status, _ := strconv.Atoi(part[2])
	if q.URL.Query().Has("length") {
		w.Header().Set("Content-Length", part[1])
	}
	w.WriteHeader(status)
	for ; size > 0; size -= min(size, 3000) {
		io.WriteString(w, strings.Repeat("x", min(size, 3000)))
		w.(http.Flusher).Flush()
	}
}

// talk has net/http's client and server talk over one connection. It returns
// the chunks and what was asked and answered. Of two responses in turn one says
// its length, or all do.
func talk(t *testing.T, lengths bool) (cs []Chunk, truth []string) {
	s := httptest.NewServer(http.HandlerFunc(serve))
	defer s.Close()
	var p *tap
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if p != nil {
			t.Error("a second connection")
		}
		p = &tap{Conn: c}
		return p, err
	}}
	for i := range 30 {
		status, size := 200+i%5, i*i*100
		if status == 204 {
			size = 0
		}
		target := fmt.Sprintf("/%d/%d/%d", size, status, i)
		query := ""
		if lengths || i%2 == 1 {
			query = "?length"
		}
		method, body := "GET", ""
		if i%3 == 0 {
			method, body = "POST", strings.Repeat("b", i*200)
		}
		q, err := http.NewRequest(method, s.URL+target+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		a, err := tr.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := io.Copy(io.Discard, a.Body)
		a.Body.Close()
		if int(n) != size {
			t.Fatalf("%s: %d bytes", target, n)
		}
		truth = append(truth, fmt.Sprintf("%s %s %d", method, target, status))
	}
	tr.CloseIdleConnections()
	return p.cs, truth
}

func withHTTP1(o *Options) { o.Protocols = []protocol.Protocol{http1.New(http1.Options{})} }

// playHTTP feeds chunks and returns the exchanges, and those with an answer as
// lines like talk's.
func playHTTP(t *testing.T, cs []Chunk, joined bool) (r *rig, lines []string) {
	r = newRig(t, withHTTP1)
	r.e.Open(id(1), Info{Joined: joined})
	for i := range cs {
		c := cs[i]
		r.e.Chunk(&c)
	}
	r.e.Close(id(1), cs[len(cs)-1].Time+ms)
	for _, x := range r.xs {
		if x.Status != 0 {
			lines = append(lines, fmt.Sprintf("%s %s %d", x.Method, x.Path, x.Status))
		}
	}
	return r, lines
}

func TestHTTP1(t *testing.T) {
	cs, truth := talk(t, false)
	clean, lines := playHTTP(t, cs, false)
	clean.want("clean", lines, truth)
	clean.wantLost()
	var bytes, want uint64
	for _, x := range clean.xs {
		bytes += x.ReqBytes + x.RespBytes
	}
	for _, c := range cs {
		want += c.Len
	}
	if bytes != want {
		t.Errorf("%d bytes in messages, %d passed", bytes, want)
	}

	for seed := range uint64(50) {
		r, lines := playHTTP(t, disturb(rand.New(rand.NewPCG(seed, 2)), cs), false)
		r.want("disturbed", lines, truth)
		r.wantLost()
		for i, x := range r.xs {
			// A cut part is seen when its packet is: all times are as they were.
			if !reflect.DeepEqual(x, clean.xs[i]) {
				t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, x, clean.xs[i])
			}
		}
	}
}

// From wherever it is joined, all exchanges that begin later are there. Of one
// that was cut, nothing is there.
func TestHTTP1JoinedAnywhere(t *testing.T) {
	cs, truth := talk(t, false)
	begins := map[int]int{} // how many requests have begun before a chunk
	for i, c := range cs {
		if c.Side == client && (strings.HasPrefix(string(c.Data), "GET ") || strings.HasPrefix(string(c.Data), "POST ")) {
			begins[i+1] = 1
		}
	}
	for i, n := 1, 0; i < len(cs); i++ {
		n += begins[i]
		r, lines := playHTTP(t, cs[i:], true)
		r.want(fmt.Sprintf("joined at chunk %d", i), lines, truth[n:])
	}
}

// Each chunk is lost once: what is there is right and in order, and what is not
// there is counted as lost bytes. Where requests are lost, the rest is there.
func TestHTTP1EachLoss(t *testing.T) {
	cs, truth := talk(t, false)
	for i := range cs {
		rest := slices.Concat(cs[:i], cs[i+1:])
		for k := range rest[i:] {
			rest[i+k].Time += holeWait
		}
		r, lines := playHTTP(t, rest, false)
		k := 0
		for _, l := range lines {
			for k < len(truth) && truth[k] != l {
				k++
			}
			if k == len(truth) {
				t.Fatalf("chunk %d lost: %q never was, or out of order", i, l)
			}
			k++
		}
		missing := len(truth) - len(lines)
		// Nobody can know of a loss that nothing follows.
		last := !slices.ContainsFunc(cs[i+1:], func(c Chunk) bool { return c.Side == cs[i].Side })
		if missing > 0 && !last && r.e.lost[gap].Load() == 0 {
			t.Errorf("chunk %d lost: %d exchanges missing, no byte", i, missing)
		}
		if missing > 2 && cs[i].Side == client {
			t.Errorf("chunk %d lost: %d exchanges missing", i, missing)
		}
	}
}

// With 400 bytes of each chunk captured, messages that say their length are all
// there; bytes of them count as lost only where a body ends.
func TestHTTP1CaptureLimit(t *testing.T) {
	cs, truth := talk(t, true)
	for i := range cs {
		cs[i].Data = cs[i].Data[:min(400, len(cs[i].Data))]
	}
	r, lines := playHTTP(t, cs, false)
	r.want("limited", lines, truth)
	if n := r.e.lost[uncaptured].Load(); n > int64(2*len(truth)) {
		t.Errorf("%d bytes lost", n)
	}
}
