package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DNSQueries describes DNSClient: N queries for Names in turn, one outstanding
// per worker.
type DNSQueries struct {
	Server netip.AddrPort
	// Names are name/TYPE; Type A or AAAA. A name with %d in it is another one
	// each time.
	Names   []string
	N       int64
	Limit   time.Duration
	Workers int
	// PerSocket is how many queries a socket or connection lives for; 0: all.
	PerSocket int
	TCP       bool
	// EDNS adds an OPT record (RFC 6891) to every query.
	EDNS bool
	// Timeout is how long an answer is waited for, each of Attempts times. A
	// query is sent again with the same id.
	Timeout  time.Duration
	Attempts int
}

// DNSClient sends queries and waits for each answer. An answer with TC is asked
// for again over TCP, in a connection of its own; both are counted. It uses
// blocking system calls: what it says of latencies has no scheduler of ours in
// it.
func DNSClient(ctx context.Context, o DNSQueries) Result {
	var (
		c       counts
		wg      sync.WaitGroup
		left    = newBudget(o.N, o.Limit)
		start   = time.Now()
		workers = make([]dnsWorker, o.Workers)
	)
	for i := range workers {
		w := &workers[i]
		*w = dnsWorker{DNSQueries: o, counts: &c, rcodes: map[int]int64{}, fd: -1, next: i}
		wg.Go(func() {
			defer w.drop()
			for ctx.Err() == nil && left.take() {
				c.tally(w.query())
			}
		})
	}
	wg.Wait()
	r := c.result("dns-client", start)
	r.Rcodes = map[int]int64{}
	var all []time.Duration
	for _, w := range workers {
		for code, n := range w.rcodes {
			r.Rcodes[code] += n
		}
		r.Truncated, r.Retries = r.Truncated+w.truncated, r.Retries+w.retries
		all = append(all, w.latencies...)
	}
	r.LatencyMean, r.LatencyMedian = middle(all)
	return r
}

// middle is mean and median in ns, 0 of nothing.
func middle(all []time.Duration) (mean, median int64) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return int64(sum) / int64(len(all)), int64(all[len(all)/2])
}

// dnsWorker is one of the workers; fd is its socket, -1 for none.
type dnsWorker struct {
	DNSQueries
	*counts
	fd, used, next     int
	id                 uint16
	rcodes             map[int]int64
	truncated, retries int64
	latencies          []time.Duration
}

// RcodeTimeout stands among the response codes for queries without an answer.
const RcodeTimeout = -1

var errTruncated = errors.New("the answer is truncated")

func (w *dnsWorker) query() error {
	name := w.Names[w.next%len(w.Names)]
	w.next += w.Workers
	if strings.Contains(name, "%d") {
		name = fmt.Sprintf(name, w.next)
	}
	w.id++
	message, err := dnsQuery(w.id, name, w.EDNS)
	if err != nil {
		return err
	}
	err = w.exchange(message, w.TCP)
	if errors.Is(err, errTruncated) {
		w.truncated++
		w.drop()
		err = w.exchange(message, true)
		w.drop()
	}
	return err
}

// exchange sends a query until it is answered or out of attempts.
func (w *dnsWorker) exchange(message []byte, tcp bool) error {
	if w.fd >= 0 && w.PerSocket > 0 && w.used >= w.PerSocket {
		w.drop()
	}
	if w.fd < 0 {
		if err := w.open(tcp); err != nil {
			return err
		}
	}
	w.used++
	start := time.Now()
	for attempt := 0; ; attempt++ {
		rcode, truncated, err := w.once(message, tcp)
		if err == nil {
			w.latencies = append(w.latencies, time.Since(start))
			w.rcodes[rcode]++
			if truncated {
				return errTruncated
			}
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if attempt+1 >= max(w.Attempts, 1) {
			w.rcodes[RcodeTimeout]++
			return nil
		}
		w.retries++
	}
}

// once sends a query and reads the answer to it; EAGAIN says that time is up.
func (w *dnsWorker) once(message []byte, tcp bool) (rcode int, truncated bool, err error) {
	if tcp {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	if _, err := again(func() (int, error) { return unix.Write(w.fd, message) }); err != nil {
		return 0, false, fmt.Errorf("sending a query: %w", err)
	}
	w.sentPackets.Add(1)
	w.sentBytes.Add(int64(len(message)))
	buf := make([]byte, 4096)
	for {
		n, err := w.read(buf, tcp)
		if err != nil {
			return 0, false, fmt.Errorf("waiting for an answer: %w", err)
		}
		w.receivedPackets.Add(1)
		w.receivedBytes.Add(int64(n))
		if n >= 12 && binary.BigEndian.Uint16(buf) == w.id {
			return int(buf[3] & 15), buf[2]&2 != 0, nil
		}
	}
}

func (w *dnsWorker) read(buf []byte, tcp bool) (int, error) {
	if !tcp {
		return again(func() (int, error) { return unix.Read(w.fd, buf) })
	}
	from := fdReader(w.fd)
	if _, err := io.ReadFull(from, buf[:2]); err != nil {
		return 0, err
	}
	n := min(int(binary.BigEndian.Uint16(buf)), len(buf))
	return io.ReadFull(from, buf[:n])
}

// again repeats what a signal interrupted: sockets with a timeout are not
// restarted by the kernel, and Go's scheduler sends signals.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// fdReader reads from a blocking file descriptor.
type fdReader int

// Read implements io.Reader.
func (fd fdReader) Read(p []byte) (int, error) {
	n, err := again(func() (int, error) { return unix.Read(int(fd), p) })
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// open connects a new socket to the server.
func (w *dnsWorker) open(tcp bool) error {
	kind := unix.SOCK_DGRAM
	if tcp {
		kind = unix.SOCK_STREAM
	}
	addr, port := w.Server.Addr(), int(w.Server.Port())
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: addr.As16(), Port: port})
	if addr.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Addr: addr.As4(), Port: port}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("making a socket: %w", err)
	}
	w.fd, w.used = fd, 0
	limit := unix.NsecToTimeval(int64(w.Timeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fmt.Errorf("setting a timeout: %w", err)
	}
	if err := unix.Connect(fd, to); err != nil {
		w.drop()
		return fmt.Errorf("connecting to %s: %w", w.Server, err)
	}
	if tcp {
		w.connections.Add(1)
	}
	return nil
}

func (w *dnsWorker) drop() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd = -1
}

// dnsQuery is a query for name/TYPE (RFC 1035 section 4).
func dnsQuery(id uint16, name string, edns bool) ([]byte, error) {
	name, kind, _ := strings.Cut(name, "/")
	qtype, ok := map[string]uint16{"": 1, "A": 1, "AAAA": 28}[kind]
	if !ok {
		return nil, fmt.Errorf("unknown type %s", kind)
	}
	const recursionDesired = 0x0100
	var extra uint16
	if edns {
		extra = 1
	}
	var b []byte
	for _, v := range []uint16{id, recursionDesired, 1, 0, 0, extra} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return nil, fmt.Errorf("not a name: %q", name)
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	b = append(b, 0, 1)
	if edns {
		b = append(b, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0) // root, OPT, 1232 bytes
	}
	return b, nil
}
