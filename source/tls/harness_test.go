package tls

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"weft/config"
	"weft/l7"
	"weft/ledger"
	"weft/protocol"
	"weft/record"
	"weft/source/conn"
)

// liveSockets keeps the map of live sockets: source/conn does.
func liveSockets(t *testing.T) map[string]*ebpf.Map {
	t.Helper()
	needRoot(t)
	cfg := &config.Config{Netflow: config.Netflow{Loopback: true, MaxSockets: 1 << 14, MaxFlows: 1 << 10}}
	s, err := conn.New(cfg, nil, ledger.New(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.Shared()
}

// bench is a source at work in a test.
type bench struct {
	t      *testing.T
	source *Source
	ledger *ledger.Ledger
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	order  []*plaintext
	conns  map[l7.ConnID]*plaintext
}

// plaintext is what was seen of one connection.
type plaintext struct {
	id     l7.ConnID
	info   l7.Info
	sides  [2][]byte
	chunks int
	gaps   int
	holes  int // bytes that were left out
	closed bool
	last   int64
}

func begin(t *testing.T) *bench {
	t.Helper()
	needRoot(t)
	return beginWith(t, liveSockets(t))
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
}

// beginWith starts a source with a map of sockets that is older.
func beginWith(t *testing.T, shared map[string]*ebpf.Map) *bench {
	t.Helper()
	return beginOn(t, shared, ladders{functions: functionRungs(), sockets: socketDoors()})
}

// beginOn starts a source on some rungs only.
func beginOn(t *testing.T, shared map[string]*ebpf.Map, l ladders) *bench {
	t.Helper()
	return beginChosen(t, shared, l, nil)
}

// beginChosen starts a source that wants some processes only.
func beginChosen(t *testing.T, shared map[string]*ebpf.Map, l ladders, wanted func(uint32, string) bool) *bench {
	t.Helper()
	b := &bench{t: t, ledger: ledger.New(), done: make(chan error, 1), conns: map[l7.ConnID]*plaintext{}}
	out := Output{Open: b.open, Chunk: b.chunk, Close: b.close, Wanted: wanted}
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	s, err := newSource(&config.Config{}, shared, out, b.ledger, log, l)
	if err != nil {
		t.Skipf("this kernel does not open it: %v", err)
	}
	b.source = s
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	runtime.GC() // would detach what nothing refers to
	go func() { b.done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	return b
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (b *bench) open(id l7.ConnID, info l7.Info) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &plaintext{id: id, info: info}
	if b.conns[id] != nil && !b.conns[id].closed {
		b.t.Errorf("%v was opened twice", id)
	}
	b.conns[id] = p
	b.order = append(b.order, p)
}

func (b *bench) chunk(c *l7.Chunk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.conns[c.Conn]
	if p == nil || p.closed {
		b.t.Errorf("a chunk of %v, which is not open", c.Conn)
		return
	}
	p.chunks++
	if n := int(c.Offset) - len(p.sides[c.Side]); n > 0 && isHTTP2(p.sides[c.Side]) { // the payload of DATA
		p.holes += n
		p.sides[c.Side] = append(p.sides[c.Side], make([]byte, n)...)
	}
	if c.Offset != uint64(len(p.sides[c.Side])) {
		b.t.Errorf("%v side %d: a chunk at %d follows %d bytes", c.Conn, c.Side, c.Offset, len(p.sides[c.Side]))
	}
	p.sides[c.Side] = append(p.sides[c.Side], c.Data...)
	if n := c.Len - uint64(len(c.Data)); n > 0 {
		p.gaps++
		p.sides[c.Side] = append(p.sides[c.Side], make([]byte, n)...)
	}
	p.last = c.Time
}

// isHTTP2 tells whether a side began with a client's preface or SETTINGS.
func isHTTP2(side []byte) bool {
	return bytes.HasPrefix(side, []byte("PRI * HTTP/2.0")) ||
		len(side) > 8 && bytes.Equal(side[3:9], []byte{4, 0, 0, 0, 0, 0})
}

func (b *bench) close(id l7.ConnID, _ int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.conns[id]; p != nil {
		p.closed = true
	}
}

// end stops the source and returns the connections in the order they opened.
func (b *bench) end() []*plaintext {
	b.t.Helper()
	time.Sleep(300 * time.Millisecond)
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Errorf("the source ended with: %v", err)
	}
	for _, s := range b.ledger.Snapshot() {
		b.t.Logf("%s: in %d out %d dropped %v", s.Stage, s.In, s.Out, s.Dropped)
	}
	return b.order
}

// on returns the connections of one end with a server's port.
func on(all []*plaintext, port int, d record.Direction) []*plaintext {
	var some []*plaintext
	for _, p := range all {
		if p.info.Flow.Direction != d {
			continue
		}
		if d == record.Incoming && int(p.info.Flow.SrcPort) == port ||
			d == record.Outgoing && int(p.info.Flow.DstPort) == port {
			some = append(some, p)
		}
	}
	return some
}

// sideBytes joins what one side said on all connections.
func sideBytes(conns []*plaintext, side protocol.Side) []byte {
	var all []byte
	for _, p := range conns {
		all = append(all, p.sides[side]...)
	}
	return all
}

// wantRequests checks that each request was seen once, byte for byte, and that
// as many answers came.
func wantRequests(t *testing.T, what string, conns []*plaintext, requests, answer string, n int) {
	t.Helper()
	req, resp := sideBytes(conns, protocol.Client), sideBytes(conns, protocol.Server)
	for i := range n {
		line := fmt.Sprintf(requests, i)
		if c := bytes.Count(req, []byte(line)); c != 1 {
			t.Errorf("%s: %q was seen %d times", what, line, c)
		}
	}
	if c := bytes.Count(resp, []byte(answer)); c != n {
		t.Errorf("%s: %d answers of %d were seen", what, c, n)
	}
}

// need skips when a program is not there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// TestMain lets a copy of the test binary be a TLS server or client, where no
// other program is to be had (test/vm).
func TestMain(m *testing.M) {
	switch os.Getenv("WEFT_TLS_TEST_PEER") {
	case "server":
		peerServer()
	case "client":
		peerClient(os.Args[1])
	default:
		os.Exit(m.Run())
	}
}

// certificate makes a key and a certificate for localhost, both in one file.
func certificate(t *testing.T) string {
	t.Helper()
	need(t, "openssl")
	dir := t.TempDir()
	pem := filepath.Join(dir, "pem")
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
		"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", filepath.Join(dir, "key"), "-out", pem)
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(pem, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(key); err != nil {
		t.Fatal(err)
	}
	return pem
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// serve starts a server that prints its port as the first line, and stops it
// when the test ends.
func serve(t *testing.T, name string, args ...string) (port int, in io.Writer) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = testLog{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatalf("%s did not say its port: %v", name, err)
	}
	go io.Copy(io.Discard, out)
	return port, in
}

// background starts a program and stops it when the test ends.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = testLog{t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func waitPort(t *testing.T, port int) {
	t.Helper()
	for range 100 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nobody listens on port %d", port)
}
