package payload

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/config"
	"weft/l7"
	"weft/l7/dnsflow"
	"weft/ledger"
	"weft/protocol"
	"weft/protocol/dns"
	"weft/protocol/http1"
	"weft/protocol/http2"
	"weft/record"
	"weft/source/conn"
)

func TestMain(m *testing.M) {
	// The main thread is /proc/self: no test may take it to another namespace.
	runtime.LockOSThread()
	os.Exit(m.Run())
}

// opened is a connection that was handed over, with what came of it.
type opened struct {
	l7.Info
	chunks  []chunk
	pending int
	closed  bool
}

type chunk struct {
	side   protocol.Side
	offset uint64
	size   uint64
	data   string
}

// bench is the source at work in a test, between the tables of source/conn and
// a real engine.
type bench struct {
	t      *testing.T
	base   *conn.Source
	source *Source
	ledger *ledger.Ledger
	stop   context.CancelFunc
	done   chan error

	mu     sync.Mutex
	engine *l7.Engine
	rows   []*record.Httpflow // counted in the kernel
	parsed []*record.Httpflow // exchanges of the engine, a row each
	conns  map[l7.ConnID]*opened
	dns    []dnsflow.Datagram
	dnsTCP []*protocol.Exchange
	hellos map[int]int // by the server's port; those with both flights
	ended  []protocol.End
	// keep tells which chunks are kept in conns; the engine gets all.
	keep bool
	// deaf: Unwanted and Skip are not told to the source.
	deaf  bool
	final map[bpfPayloadStat]int64
}

func testConfig() *config.Config {
	c := config.Default()
	c.Interval = time.Hour
	c.Netflow.Loopback = true
	c.L7.Enabled = []string{"httpflow"}
	c.L7.DNS, c.L7.DNSPorts = true, []int{53}
	return c
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
}

// begin starts the sources; a kernel that does not open the door fails the
// test: every kernel that we support does.
func begin(t *testing.T, cfg *config.Config) *bench {
	t.Helper()
	needRoot(t)
	log := slog.New(slog.DiscardHandler)
	b := &bench{t: t, ledger: ledger.New(), done: make(chan error, 2), conns: map[l7.ConnID]*opened{},
		keep: true, hellos: map[int]int{}}
	var err error
	if b.base, err = conn.New(cfg, nil, b.ledger, log); err != nil {
		t.Fatal(err)
	}
	b.engine = l7.New(b.options(cfg), b.ledger)
	if b.source, err = New(cfg, b.base.Shared(), b.output(), b.ledger, log); err != nil {
		b.base.Close()
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() { b.done <- b.base.Run(ctx, func([]record.Record) {}) }()
	return b
}

// run lets the source read its ring; start does both.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	before := b.stop
	b.stop = func() { cancel(); before() }
	go func() { b.done <- b.source.Run(ctx) }()
	b.t.Cleanup(b.stop)
}

func start(t *testing.T, cfg *config.Config) *bench {
	t.Helper()
	b := begin(t, cfg)
	b.run()
	return b
}

func (b *bench) options(cfg *config.Config) l7.Options {
	return l7.Options{
		Protocols: []protocol.Protocol{
			http1.New(http1.Options{MaxPath: cfg.L7.MaxPath, KeepQuery: cfg.L7.KeepQuery}),
			http2.New(http2.Options{MaxPath: cfg.L7.MaxPath, KeepQuery: cfg.L7.KeepQuery}),
			dns.New(),
		},
		Out: b.exchange,
		Ended: func(id l7.ConnID, why protocol.End) {
			b.ended = append(b.ended, why)
			if !b.deaf {
				b.source.Unwanted(id, why == l7.Idle || why == l7.ConnsFull)
			}
		},
		Skip: func(id l7.ConnID, side protocol.Side, until uint64) {
			if !b.deaf {
				b.source.Skip(id, side, until)
			}
		},
	}
}

// exchange makes a row of what the engine has parsed, as the agent does.
func (b *bench) exchange(_ l7.ConnID, info *l7.Info, x *protocol.Exchange) {
	if x.Protocol == "dns" {
		b.dnsTCP = append(b.dnsTCP, x)
		return
	}
	r := &record.Httpflow{HTTPKey: record.HTTPKey{
		FlowKey: info.Flow, Method: x.Method, Path: x.Path, Version: x.Version, Status: x.Status,
		Truncated: x.Truncated, GRPCStatus: -1,
	}, Count: 1, BytesRead: int64(x.RespBytes), BytesWritten: int64(x.ReqBytes)}
	if r.Direction == record.Incoming {
		r.BytesRead, r.BytesWritten = r.BytesWritten, r.BytesRead
	}
	if x.First != 0 {
		r.LatencyCount, r.LatencySum, r.DurationSum = 1, x.First-x.Start, x.End-x.Start
		r.LatencyMax = r.LatencySum
	}
	b.parsed = append(b.parsed, r)
}

func (b *bench) output() Output {
	return Output{
		Locker: &b.mu,
		Open: func(id l7.ConnID, i l7.Info) {
			if c := b.conns[id]; c != nil {
				c.Info = i // the process is known now
			} else {
				b.conns[id] = &opened{Info: i}
			}
			b.engine.Open(id, i)
		},
		From: b.engine.From,
		Pending: func(id l7.ConnID, x *protocol.Exchange) {
			b.conns[id].pending++
			b.engine.Pending(id, x)
		},
		Chunk: b.chunk,
		Close: func(id l7.ConnID, at int64) {
			if c := b.conns[id]; c != nil {
				c.closed = true
			}
			b.engine.Close(id, at)
		},
		DNS: func(d *dnsflow.Datagram) {
			own := *d
			own.Data = slices.Clone(d.Data)
			b.dns = append(b.dns, own)
		},
		Row: func(r *record.Httpflow, _, _ int64) {
			b.rows = append(b.rows, r)
		},
		TLS: func(k record.FlowKey, client, server []byte) {
			port := k.DstPort
			if k.Direction == record.Incoming {
				port = k.SrcPort
			}
			if len(client) > 500 && len(server) == 1003 {
				b.hellos[int(port)]++
			}
		},
		Idle: func(now int64) { b.engine.Expire(now) },
	}
}

func (b *bench) chunk(k *l7.Chunk) {
	if c := b.conns[k.Conn]; c != nil && b.keep {
		c.chunks = append(c.chunks, chunk{k.Side, k.Offset, k.Len, string(k.Data)})
	}
	b.engine.Chunk(k)
}

// until flushes until done, at most twenty seconds: emulated machines are slow.
func (b *bench) until(done func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err := b.source.Flush(); err != nil {
			b.t.Fatal(err)
		}
		b.mu.Lock()
		ok := done()
		b.mu.Unlock()
		if ok {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// await waits until both ends of a port's connections were seen to have had so
// many exchanges.
func (b *bench) await(port int, exchanges int64) {
	b.t.Helper()
	b.until(func() bool {
		return b.sum(incoming(port)).Count >= exchanges && b.sum(outgoing(port)).Count >= exchanges
	})
}

// finish waits a moment longer, for exchanges too many, and stops the sources.
func (b *bench) finish() {
	b.t.Helper()
	time.Sleep(150 * time.Millisecond)
	if err := b.source.Flush(); err != nil {
		b.t.Error(err)
	}
	b.stop()
	for range 2 {
		if err := <-b.done; err != nil {
			b.t.Errorf("a source ended with: %v", err)
		}
	}
	if err := b.source.Flush(); err != nil {
		b.t.Error(err)
	}
	b.final = map[bpfPayloadStat]int64{}
	for i := range bpfPayloadStatSTAT_PAYLOAD_MAX {
		b.final[i] = b.source.k.stat(i)
	}
	b.source.Close()
}

func incoming(port int) func(*record.Httpflow) bool {
	return func(r *record.Httpflow) bool { return r.Direction == record.Incoming && int(r.SrcPort) == port }
}

func outgoing(port int) func(*record.Httpflow) bool {
	return func(r *record.Httpflow) bool { return r.Direction == record.Outgoing && int(r.DstPort) == port }
}

// sides are both ends of the connections to a port.
func sides(port int) map[string]func(*record.Httpflow) bool {
	return map[string]func(*record.Httpflow) bool{"server": incoming(port), "client": outgoing(port)}
}

// totals are sums over rows; bytes by who sent them.
type totals struct {
	Count, Req, Resp           int64
	answered, latency, longest int64
	duration                   int64
}

func (b *bench) sum(match func(*record.Httpflow) bool) (t totals) {
	return sumOf(slices.Concat(b.rows, b.parsed), match)
}

func sumOf(rows []*record.Httpflow, match func(*record.Httpflow) bool) (t totals) {
	for _, r := range rows {
		if !match(r) {
			continue
		}
		t.Count += r.Count
		req, resp := r.BytesWritten, r.BytesRead
		if r.Direction == record.Incoming {
			req, resp = resp, req
		}
		t.Req += req
		t.Resp += resp
		t.answered += r.LatencyCount
		t.latency += r.LatencySum
		t.duration += r.DurationSum
		t.longest = max(t.longest, r.LatencyMax)
	}
	return t
}

// counts is how often each exchange was seen, as "GET /path 200 1.1", cut paths
// with a tilde.
func (b *bench) counts(match func(*record.Httpflow) bool) map[string]int64 {
	out := map[string]int64{}
	for _, r := range slices.Concat(b.rows, b.parsed) {
		if match(r) {
			out[label(r.Method, r.Path, r.Truncated, r.Status, r.Version)] += r.Count
		}
	}
	return out
}

func label(method, path string, cut bool, status int, version string) string {
	if cut {
		path += "~"
	}
	return fmt.Sprintf("%s %s %d %s", method, path, status, version)
}

// checkBoth compares what both ends of the connections to a port saw with what
// they did.
func (b *bench) checkBoth(port int, want map[string]int64, req, resp int64) {
	b.t.Helper()
	for side, match := range sides(port) {
		if got := b.counts(match); !maps.Equal(got, want) {
			b.t.Errorf("%s:%s", side, difference(got, want))
		}
		if got := b.sum(match); got.Req != req || got.Resp != resp {
			b.t.Errorf("%s: requests of %d bytes, responses of %d, want %d, %d", side, got.Req, got.Resp, req, resp)
		}
		b.checkOwner(side, match)
	}
}

// checkOwner: both ends are threads of this process.
func (b *bench) checkOwner(side string, match func(*record.Httpflow) bool) {
	b.t.Helper()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range slices.Concat(b.rows, b.parsed) {
		if match(r) && (int(r.PID) != os.Getpid() || r.Comm != strings.TrimSpace(string(comm)) || r.NetNS == 0) {
			b.t.Errorf("%s: pid %d comm %q netns %d", side, r.PID, r.Comm, r.NetNS)
			return
		}
	}
}

func difference(got, want map[string]int64) string {
	var s strings.Builder
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if got[k] != want[k] {
			fmt.Fprintf(&s, "\n  %.100q: %d, want %d", k, got[k], want[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] == 0 && want[k] != 0 {
			fmt.Fprintf(&s, "\n  %.100q: 0, want %d", k, want[k])
		}
	}
	return s.String()
}

// stat is a counter of the kernel, also after finish.
func (b *bench) stat(which bpfPayloadStat) int64 {
	if b.final != nil {
		return b.final[which]
	}
	return b.source.k.stat(which)
}

func (b *bench) dropped(stage, reason string) int64 {
	for _, s := range b.ledger.Snapshot() {
		if s.Stage == stage {
			return s.Dropped[reason]
		}
	}
	return 0
}

func portOf(a net.Addr) int { return a.(*net.TCPAddr).Port }

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// explain shows what the engine was given of a port, and the ledger.
func (b *bench) explain(port int) {
	b.t.Helper()
	for id, c := range b.conns {
		if int(c.Flow.SrcPort) != port && int(c.Flow.DstPort) != port {
			continue
		}
		b.t.Logf("%x: %s:%d %s %s:%d, joined %v, pending %d, closed %v", id.Sock, c.Flow.Src, c.Flow.SrcPort,
			c.Flow.Direction, c.Flow.Dst, c.Flow.DstPort, c.Joined, c.pending, c.closed)
		for _, k := range c.chunks {
			b.t.Logf("  side %d offset %d size %d data %d: %.60q", k.side, k.offset, k.size, len(k.data), k.data)
		}
	}
	b.t.Log("ended:", b.ended)
	for _, s := range b.ledger.Snapshot() {
		b.t.Logf("%+v", s)
	}
}

// counters shows what the kernel and the ledger have counted.
func (b *bench) counters() {
	b.t.Helper()
	for i := range bpfPayloadStatSTAT_PAYLOAD_MAX {
		if n := b.stat(i); n != 0 {
			b.t.Logf("counter %d of enum payload_stat: %d", i, n)
		}
	}
	for _, s := range b.ledger.Snapshot() {
		b.t.Logf("%+v", s)
	}
}
