package conn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/record"
)

// The test binary is also the worker that some tests start (see TestMain).
const workerEnv = "WEFT_CONN_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		serveInheritedConnection()
		return
	}
	// The main thread is /proc/self: no test may take it to another namespace.
	runtime.LockOSThread()
	os.Exit(m.Run())
}

// bench is a source at work in a test.
type bench struct {
	t      *testing.T
	source *Source
	ledger *ledger.Ledger
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	rows   []*record.Netflow
}

func testConfig() *config.Config {
	return &config.Config{
		Interval: 100 * time.Millisecond,
		Netflow:  config.Netflow{Loopback: true, UDP: true, MaxSockets: 1 << 18, MaxFlows: 1 << 14},
	}
}

// begin starts a source with the given doors; nil means all of them. A door
// that this kernel does not open skips the test and says why.
func begin(t *testing.T, cfg *config.Config, tcp, udp []door) *bench {
	t.Helper()
	needRoot(t)
	if tcp == nil {
		tcp = tcpDoors()
	}
	if udp == nil {
		udp = udpDoors()
	}
	b := &bench{t: t, ledger: ledger.New(), done: make(chan error, 1)}
	s, err := newSource(cfg, nil, b.ledger, slog.New(slog.NewTextHandler(io.Discard, nil)), tcp, udp)
	if err != nil {
		t.Fatal(err)
	}
	b.source = s
	for _, c := range s.Capabilities() {
		if !c.OK() {
			s.Close()
			t.Skipf("this kernel does not open it: %v", c.Err())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() { b.done <- s.Run(ctx, b.take) }()
	t.Cleanup(func() { cancel() })
	return b
}

func (b *bench) take(batch []record.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range batch {
		b.rows = append(b.rows, r.(*record.Netflow))
	}
}

// end stops the source and returns everything it has emitted.
func (b *bench) end() []*record.Netflow {
	b.t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Errorf("the source ended with: %v", err)
	}
	return b.rows
}

func (b *bench) dropped(stage, reason string) int64 {
	for _, s := range b.ledger.Snapshot() {
		if s.Stage == stage {
			return s.Dropped[reason]
		}
	}
	return 0
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
}

// total sums the rows that match.
func total(rows []*record.Netflow, match func(*record.Netflow) bool) record.Netflow {
	sum := record.Netflow{TCPStats: &record.TCPStats{}}
	for _, r := range rows {
		if !match(r) {
			continue
		}
		sum.FlowKey = r.FlowKey
		sum.BytesRead += r.BytesRead
		sum.BytesWritten += r.BytesWritten
		sum.PacketsRead += r.PacketsRead
		sum.PacketsWritten += r.PacketsWritten
		if r.TCPStats != nil {
			sum.Established += r.Established
			sum.Closed += r.Closed
			sum.ConnectFailed += r.ConnectFailed
			sum.ConnectCount += r.ConnectCount
			sum.Retransmits += r.Retransmits
		}
	}
	return sum
}

// server matches the rows of the side that listens on the port, client the
// other side's.
func server(port int) func(*record.Netflow) bool {
	return func(n *record.Netflow) bool { return n.Direction == record.Incoming && int(n.SrcPort) == port }
}

func client(port int) func(*record.Netflow) bool {
	return func(n *record.Netflow) bool { return n.Direction == record.Outgoing && int(n.DstPort) == port }
}

func portOf(a net.Addr) int {
	_, p, _ := net.SplitHostPort(a.String())
	n, _ := strconv.Atoi(p)
	return n
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// answer serves every connection: reads ask bytes, writes reply bytes, waits
// for the client's close.
func answer(l net.Listener, ask, reply int) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if _, err := io.CopyN(io.Discard, c, int64(ask)); err != nil {
				return
			}
			c.Write(bytes.Repeat([]byte{'r'}, reply))
			io.Copy(io.Discard, c)
		}()
	}
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange opens a connection, sends ask bytes, reads reply bytes and closes.
func exchange(t *testing.T, network, addr string, ask, reply int) {
	t.Helper()
	c := dial(t, network, addr)
	defer c.Close()
	if _, err := c.Write(bytes.Repeat([]byte{'a'}, ask)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, c, int64(reply)); err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, reply, err)
	}
}

// settle waits until the kernel has closed what the test has closed, also in
// an emulated machine.
func settle() { time.Sleep(400 * time.Millisecond) }

// await waits until the rows so far fulfil done, at most ten seconds.
func (b *bench) await(done func(rows []*record.Netflow) bool) {
	for range 100 {
		b.mu.Lock()
		ok := done(b.rows)
		b.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// serveInheritedConnection is the worker: it echoes on descriptor 3 and exits.
func serveInheritedConnection() {
	f := os.NewFile(3, "connection")
	buf := make([]byte, 1024)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			f.Write(buf[:n])
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			runtime.KeepAlive(f)
			return
		}
	}
}
