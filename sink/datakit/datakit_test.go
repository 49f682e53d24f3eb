package datakit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/config"
	"weft/deliver"
	"weft/ledger"
	"weft/record"
	"weft/record/encode"
	"weft/sink"
	"weft/sink/datakit"
)

var (
	_ sink.Sink      = (*datakit.Sink)(nil)
	_ datakit.Queue  = (*deliver.Queue)(nil)
	_ deliver.Sender = (*datakit.Client)(nil)
)

// request is one POST that the server took.
type request struct {
	uri    string
	header http.Header
	body   []byte
}

// server is a DataKit that can be stopped and started again on its port. How
// it answers is script; what it took with a 2xx is got.
type server struct {
	addr string
	http *http.Server

	mu     sync.Mutex
	script func(w http.ResponseWriter, r *http.Request) (taken bool)
	got    []request
	errors [][]byte // bodies of /v1/lasterror
	conns  int
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{addr: "127.0.0.1:0"}
	s.start(t)
	t.Cleanup(func() { _ = s.http.Close() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.http = &http.Server{Handler: s, ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}}
	go func(h *http.Server) { _ = h.Serve(l) }(s.http)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	script := s.script
	if strings.HasSuffix(r.URL.Path, "/v1/lasterror") {
		s.errors = append(s.errors, body)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	if script != nil && !script(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, request{r.RequestURI, r.Header.Clone(), body})
}

func (s *server) set(script func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

func answer(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"error_code":"test"}`)
		return code/100 == 2
	}
}

func (s *server) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.got...)
}

// points decodes all that the server took.
func (s *server) points(t *testing.T) (out []record.Point) {
	t.Helper()
	for _, r := range s.requests() {
		p, err := encode.DecodePBPoints(r.body)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

// expect waits until the server has points 0 to n-1, and fails at once when
// they are not each there once and in order.
func (s *server) expect(t *testing.T, n int) {
	t.Helper()
	var got []record.Point
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = s.points(t); len(got) >= n {
			break
		}
	}
	for i, p := range got {
		if p.Time != int64(i) {
			t.Fatalf("point %d has number %d", i, p.Time)
		}
	}
	if len(got) != n {
		t.Fatalf("the server has %d points, want %d", len(got), n)
	}
}

// maxPoints is the number of points in a full request.
const maxPoints = 256

var network = record.Category{Kind: "network", Input: "ebpf-net/netflow"}

func numbered(from, to int) (out []record.Point) {
	for i := from; i < to; i++ {
		out = append(out, record.Point{
			Name: "netflow", Time: int64(i), Category: network,
			Tags:   []record.Tag{{Key: "src_ip", Value: "10.0.0.1"}, {Key: "dst_domain", Value: ""}},
			Fields: []record.Field{{Key: "bytes_read", Value: int64(i)}},
		})
	}
	return out
}

// rig is a sink with its queue and client, as the agent wires them.
type rig struct {
	*datakit.Sink
	client *datakit.Client
	queue  *deliver.Queue
	ledger *ledger.Ledger
}

func wire(t *testing.T, cfg config.DataKit, dir string) *rig {
	t.Helper()
	r := &rig{ledger: ledger.New()}
	var err error
	if r.client, err = datakit.NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	r.queue, err = deliver.Start(deliver.Options{
		Sender: r.client, Stage: r.ledger.Stage("deliver.datakit"), Dir: dir, SpoolBytes: cfg.SpoolBytes,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, Slow: 20 * time.Millisecond,
		Report: func(err error) { t.Log("report:", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sink, err = datakit.New(cfg, r.queue, r.ledger.Stage("sink.datakit")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) write(t *testing.T, points []record.Point) {
	t.Helper()
	before := time.Now()
	if err := r.Write(context.Background(), points); err != nil {
		t.Error(err)
	}
	if d := time.Since(before); d > 500*time.Millisecond {
		t.Errorf("Write took %v", d)
	}
}

func (r *rig) close(t *testing.T, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	r.client.Close()
}

func (r *rig) expect(t *testing.T, in, out int64, dropped map[string]int64) {
	t.Helper()
	c := r.ledger.Snapshot()[0]
	if c.Stage != "deliver.datakit" || c.In != in || c.Out != out || fmt.Sprint(c.Dropped) != fmt.Sprint(dropped) {
		t.Errorf("ledger is %+v, want in %d, out %d, dropped %v", c, in, out, dropped)
	}
}

func cfg(s *server) config.DataKit {
	return config.DataKit{
		Server: "http://" + s.addr, Encoding: "protobuf", Timeout: 5 * time.Second, SpoolBytes: 8 << 20,
	}
}

func TestRequestIsWhatTheReferenceSends(t *testing.T) {
	s := newServer(t)
	c := cfg(s)
	c.Server += "/base/path?token=tkn_x"
	r := wire(t, c, t.TempDir())
	points := numbered(0, 600)
	bash := record.Point{Name: "bash", Time: 7, Category: record.Category{Kind: "logging", Input: "ebpf-bash"}}
	r.write(t, append(points[:300:300], append([]record.Point{bash}, points[300:]...)...))
	r.close(t, 5*time.Second)

	var sizes []string
	for _, q := range s.requests() {
		p, err := encode.DecodePBPoints(q.body)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, fmt.Sprintf("%s %d", q.uri, len(p)))
		if got := q.header.Get("Content-Type"); got != "application/protobuf; proto=com.guance.Point" {
			t.Errorf("content type %q", got)
		}
		if q.header.Get("Content-Encoding") != "" || q.header.Get("Content-Length") != fmt.Sprint(len(q.body)) {
			t.Errorf("header %v for %d bytes", q.header, len(q.body))
		}
	}
	flows := "/base/path/v1/write/network?input=ebpf-net%2Fnetflow&token=tkn_x "
	want := []string{flows + "256", flows + "256", flows + "88",
		"/base/path/v1/write/logging?input=ebpf-bash&token=tkn_x 1"}
	if fmt.Sprint(sizes) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", sizes, want)
	}
	body, _ := encode.AppendPBPoints(nil, points[:256])
	if !bytes.Equal(s.requests()[0].body, body) {
		t.Error("the body is not the encoder's")
	}
	if s.conns != 1 {
		t.Errorf("%d connections for %d requests", s.conns, len(sizes))
	}
	r.expect(t, 601, 601, map[string]int64{})
}

func TestLineProtocolAndGzip(t *testing.T) {
	s := newServer(t)
	c := cfg(s)
	c.Encoding, c.Gzip = "line-protocol", true
	r := wire(t, c, t.TempDir())
	empty := record.Point{Name: "empty", Category: network}
	r.write(t, append(numbered(0, 2), empty))
	r.close(t, 5*time.Second)
	q := s.requests()[0]
	if q.header.Get("Content-Type") != "application/line-protocol" || q.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("header %v", q.header)
	}
	z, err := gzip.NewReader(bytes.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	want := "netflow,src_ip=10.0.0.1 bytes_read=0i 0\nnetflow,src_ip=10.0.0.1 bytes_read=1i 1\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: got %q, want %q", err, got, want)
	}
	if c := r.ledger.Snapshot()[1]; c.In != 3 || c.Out != 2 || c.Dropped["unencodable"] != 1 {
		t.Errorf("sink's ledger %+v", c)
	}
}

func TestNewRefusesBadConfiguration(t *testing.T) {
	for _, server := range []string{"ftp://host", "http://", "http://a b/", ":x"} {
		if _, err := datakit.NewClient(config.DataKit{Server: server}); err == nil {
			t.Errorf("%q was taken", server)
		}
	}
	if _, err := datakit.New(config.DataKit{Encoding: "xml"}, nil, nil); err == nil {
		t.Error("encoding xml was taken")
	}
}

func TestOutageOfTwoIntervals(t *testing.T) {
	s := newServer(t)
	r := wire(t, cfg(s), t.TempDir())
	const interval = 150 * time.Millisecond
	r.write(t, numbered(0, 400))
	s.expect(t, 400)
	if err := s.http.Close(); err != nil {
		t.Fatal(err)
	}
	r.write(t, numbered(400, 1000))
	time.Sleep(interval)
	r.write(t, numbered(1000, 1700))
	time.Sleep(interval)
	s.start(t)
	r.write(t, numbered(1700, 2000))
	s.expect(t, 2000)
	r.close(t, 5*time.Second)
	s.expect(t, 2000)
	r.expect(t, 2000, 2000, map[string]int64{})
}

func TestRestartInsideTheOutage(t *testing.T) {
	s := newServer(t)
	dir := filepath.Join(t.TempDir(), "spool")
	_ = s.http.Close()
	r := wire(t, cfg(s), dir)
	r.write(t, numbered(0, 700))
	r.close(t, time.Second)
	r.expect(t, 700, 0, map[string]int64{})
	r = wire(t, cfg(s), dir)
	r.write(t, numbered(700, 800))
	time.Sleep(50 * time.Millisecond)
	r.close(t, time.Second)
	s.start(t)
	r = wire(t, cfg(s), dir)
	r.write(t, numbered(800, 1000))
	s.expect(t, 1000)
	r.close(t, time.Second)
	r.expect(t, 1000, 1000, map[string]int64{})
}

func TestSpoolBoundDropsOldestAndCounts(t *testing.T) {
	s := newServer(t)
	_ = s.http.Close()
	c := cfg(s)
	c.SpoolBytes = 400 << 10
	r := wire(t, c, t.TempDir())
	for i := range 60 {
		r.write(t, numbered(i*256, (i+1)*256))
		time.Sleep(2 * time.Millisecond)
	}
	s.start(t)
	const last = 60*256 - 1
	var got []record.Point
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = s.points(t); len(got) > 0 && got[len(got)-1].Time == last {
			break
		}
	}
	if len(got) == 0 || len(got) == last+1 {
		t.Fatalf("the server has %d points", len(got))
	}
	// Numbers may be missing behind the first request: it may have been on its
	// way when the bound took the segment that it stood in.
	for i := 1; i < len(got); i++ {
		if got[i].Time <= got[i-1].Time || (i > maxPoints && got[i].Time != got[i-1].Time+1) {
			t.Fatalf("point %d of %d has number %d after %d", i, len(got), got[i].Time, got[i-1].Time)
		}
	}
	r.close(t, time.Second)
	r.expect(t, last+1, int64(len(got)), map[string]int64{"spool_full": int64(last + 1 - len(got))})
}
