// Package traffic makes bounded TCP and UDP load and counts it exactly: what
// its functions return is the truth that a collector's records are compared
// with. It is used in-process by tests and, as separate processes with their
// own name and CPU time, through the program test/load.
package traffic

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Result is what one generator really did. Bytes and packets are payload as
// its own read and write calls returned them, from this end's point of view.
type Result struct {
	Mode string `json:"mode"`
	PID  int    `json:"pid"`
	// Ready marks the first of the two lines of a generator that holds on.
	Ready bool `json:"ready,omitempty"`
	// Ops are complete operations: echoed connections, answered requests,
	// sent datagrams, held connections.
	Ops    int64 `json:"ops"`
	Failed int64 `json:"failed"`
	// FirstError says why the first of the failed ones failed.
	FirstError string `json:"first_error,omitempty"`
	// Connections are TCP connections established, on this end.
	Connections     int64   `json:"connections"`
	SentBytes       int64   `json:"sent_bytes"`
	ReceivedBytes   int64   `json:"received_bytes"`
	SentPackets     int64   `json:"sent_packets"`
	ReceivedPackets int64   `json:"received_packets"`
	WallSeconds     float64 `json:"wall_s"`
	// CPUSeconds is of the whole process and therefore filled in by test/load.
	CPUSeconds float64 `json:"cpu_s"`

	// Of dns-client: answers by response code (RcodeTimeout: queries without
	// one), those with the TC bit, queries that were sent again, and the time
	// from a query to its answer in ns.
	Rcodes        map[int]int64 `json:"rcodes,omitempty"`
	Truncated     int64         `json:"truncated,omitempty"`
	Retries       int64         `json:"retries,omitempty"`
	LatencyMean   int64         `json:"latency_mean_ns,omitempty"`
	LatencyMedian int64         `json:"latency_median_ns,omitempty"`
}

// Add sums another process's result into r; the wall time is the longest.
func (r *Result) Add(o Result) {
	r.Ops += o.Ops
	r.Failed += o.Failed
	if r.FirstError == "" {
		r.FirstError = o.FirstError
	}
	r.Connections += o.Connections
	r.SentBytes += o.SentBytes
	r.ReceivedBytes += o.ReceivedBytes
	r.SentPackets += o.SentPackets
	r.ReceivedPackets += o.ReceivedPackets
	r.WallSeconds = max(r.WallSeconds, o.WallSeconds)
	r.CPUSeconds += o.CPUSeconds
}

// Targets are the server addresses of a client: Hosts consecutive addresses
// from First on, one port. Many addresses keep a client of many short or many
// idle connections from running out of ephemeral ports.
type Targets struct {
	First netip.AddrPort
	Hosts int
}

// List is every target in order.
func (t Targets) List() []netip.AddrPort {
	out := make([]netip.AddrPort, 0, max(t.Hosts, 1))
	addr := t.First.Addr()
	for range max(t.Hosts, 1) {
		out = append(out, netip.AddrPortFrom(addr, t.First.Port()))
		addr = addr.Next()
	}
	return out
}

// network is "tcp" or "udp" for the address's own family: Go would make an
// IPv6 socket for the IPv4 wildcard address. [::] serves both families.
func network(transport string, a netip.Addr) string {
	if a.Is4() {
		return transport + "4"
	}
	return transport
}

// counts is a Result while several goroutines add to it.
type counts struct {
	ops, failed, connections     atomic.Int64
	sentBytes, receivedBytes     atomic.Int64
	sentPackets, receivedPackets atomic.Int64
	firstError                   atomic.Pointer[string]
}

// tally counts one operation as done or failed.
func (c *counts) tally(err error) {
	if err == nil {
		c.ops.Add(1)
		return
	}
	c.failed.Add(1)
	why := err.Error()
	c.firstError.CompareAndSwap(nil, &why)
}

func (c *counts) result(mode string, start time.Time) Result {
	var first string
	if why := c.firstError.Load(); why != nil {
		first = *why
	}
	return Result{
		FirstError:      first,
		Mode:            mode,
		Ops:             c.ops.Load(),
		Failed:          c.failed.Load(),
		Connections:     c.connections.Load(),
		SentBytes:       c.sentBytes.Load(),
		ReceivedBytes:   c.receivedBytes.Load(),
		SentPackets:     c.sentPackets.Load(),
		ReceivedPackets: c.receivedPackets.Load(),
		WallSeconds:     time.Since(start).Seconds(),
	}
}

// budget hands out the operations of a run, so that the workers of a client
// together do exactly as many as were asked for and stop when time is up.
type budget struct {
	left atomic.Int64
	end  time.Time
}

func newBudget(n int64, limit time.Duration) *budget {
	b := &budget{end: time.Now().Add(limit)}
	b.left.Store(n)
	return b
}

// take is false once the count or the time is used up.
func (b *budget) take() bool {
	return time.Now().Before(b.end) && b.left.Add(-1) >= 0
}

// pacer spaces operations evenly; its zero value does not wait at all.
type pacer struct {
	gap  time.Duration
	next time.Time
}

func newPacer(perSecond float64) pacer {
	if perSecond <= 0 {
		return pacer{}
	}
	return pacer{gap: time.Duration(float64(time.Second) / perSecond), next: time.Now()}
}

func (p *pacer) wait() {
	if p.gap == 0 {
		return
	}
	p.next = p.next.Add(p.gap)
	time.Sleep(time.Until(p.next))
}
