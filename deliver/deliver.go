// Package deliver stands between a sink and its server: a bounded queue in
// memory, a bounded spool on disk behind it, and one worker that sends what
// they hold, oldest first. However the server behaves, who enqueues never
// waits, and every item ends as sent, as dropped with a reason, or on disk for
// the next start.
//
// Order and once: messages reach the server in the order of Enqueue, each
// until it is answered. An attempt that ends without an answer (a timeout, a
// connection that breaks behind the request) is made again, and a process that
// dies between the answer and the spool's Ack makes it again at the next
// start: only then can a server that had taken the message see it twice.
package deliver

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weft/ledger"
	"weft/spool"
)

// Sender makes one attempt. It must return soon after ctx ends. An error that
// has the method Permanent() bool and says true means that no attempt will
// ever work: the message is dropped, with the error's Reason() string as the
// ledger's reason if it has one. Any other error is tried again, not before
// RetryAfter() time.Duration if the error has that.
type Sender interface {
	Send(ctx context.Context, msg []byte) error
}

// The reasons for which this package drops, beside the spool's own and those
// that senders give.
const (
	QueueFull = "queue_full"   // the memory bound was reached: disk and server are too slow
	Closed    = "queue_closed" // enqueued after Close
	Shutdown  = "shutdown"     // left over at Close, and no spool took it
	Rejected  = "rejected"     // a permanent error without a reason of its own
)

// Options of a Queue. Zero values are the defaults given.
type Options struct {
	Sender Sender
	// Stage counts items: in when enqueued or found in the spool at the start,
	// out when sent. In is out, dropped and pending (see Gauges) together.
	Stage *ledger.Stage
	// Dir is the spool's folder and SpoolBytes its bound; a zero value of
	// either means no spool.
	Dir        string
	SpoolBytes int64
	// Messages (256) and Bytes (16 MiB) bound the queue in memory.
	Messages int
	Bytes    int64
	// MinBackoff (500ms) doubles with each failure up to MaxBackoff (30s).
	MinBackoff, MaxBackoff time.Duration
	// Slow (1s) is how long an attempt may take before what waits behind it,
	// and the message itself, goes to the disk.
	Slow time.Duration
	// Report, when set, is told about the first failure of an outage, every
	// permanent failure and spool trouble. It must not block.
	Report func(error)
}

func (o *Options) defaults() {
	if o.Messages <= 0 {
		o.Messages = 256
	}
	if o.Bytes <= 0 {
		o.Bytes = 16 << 20
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = 500 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.Slow <= 0 {
		o.Slow = time.Second
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
}

// Queue delivers messages. Its methods are safe for concurrent use.
type Queue struct {
	opts   Options
	spool  *spool.Spool // nil when there is none
	in     chan spool.Message
	bytes  atomic.Int64 // of the bodies in the channel
	memory atomic.Int64 // items in the channel or with the worker, not in the spool

	pressure chan struct{} // the queue is half full
	closing  chan context.Context
	done     chan struct{}
	closeErr error // valid when done is closed

	mu     sync.Mutex
	closed bool
}

// Start opens the spool and starts the worker, which first sends what the last
// process left there. An error means that the spool cannot be used; without
// Dir there is none.
func Start(o Options) (*Queue, error) {
	o.defaults()
	q := &Queue{
		opts:     o,
		in:       make(chan spool.Message, o.Messages),
		pressure: make(chan struct{}, 1),
		closing:  make(chan context.Context, 1),
		done:     make(chan struct{}),
	}
	if o.Dir != "" && o.SpoolBytes > 0 {
		s, err := spool.Open(spool.Options{Dir: o.Dir, MaxBytes: o.SpoolBytes, Lost: func(reason string, items int) {
			o.Stage.Drop(reason, int64(items))
		}})
		if err != nil {
			return nil, fmt.Errorf("start delivery: %w", err)
		}
		q.spool = s
		o.Stage.In(int64(s.Stats().Items))
	}
	go newWorker(q).run()
	return q, nil
}

// Enqueue takes a message of items points and returns at once. False means
// that it was dropped and counted. The queue keeps msg.
func (q *Queue) Enqueue(msg []byte, items int) bool {
	q.opts.Stage.In(int64(items))
	reason := q.push(spool.Message{Body: msg, Items: items})
	if reason != "" {
		q.opts.Stage.Drop(reason, int64(items))
		return false
	}
	if len(q.in) >= cap(q.in)/2 || q.bytes.Load() >= q.opts.Bytes/2 {
		select {
		case q.pressure <- struct{}{}:
		default:
		}
	}
	return true
}

// push returns the reason for which m was not taken.
func (q *Queue) push(m spool.Message) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Closed
	}
	size := int64(len(m.Body))
	if q.bytes.Load()+size > q.opts.Bytes && len(q.in) > 0 {
		return QueueFull
	}
	select {
	case q.in <- m:
		q.bytes.Add(size)
		q.memory.Add(int64(m.Items))
		return ""
	default:
		return QueueFull
	}
}

// Close sends what it can until ctx ends and leaves the rest in the spool,
// whence the next start delivers it. With a spool it gives up at the first
// failure, since the next start can try as well. It returns when the worker
// has ended; an error means that the spool could not be made durable.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	q.mu.Unlock()
	if first {
		q.closing <- ctx
	}
	<-q.done
	return q.closeErr
}

// Pending is the number of items taken and neither sent nor dropped. A message
// that moves between memory and disk at that moment may be missing.
func (q *Queue) Pending() int64 {
	n := q.memory.Load()
	if q.spool != nil {
		n += int64(q.spool.Stats().Items)
	}
	return n
}

// Gauges returns the queue's gauges for /metrics, labelled with the sink.
func (q *Queue) Gauges(sink string) []ledger.Gauge {
	labels := []string{"sink", sink}
	gauge := func(name, help string, read func() float64) ledger.Gauge {
		return ledger.Gauge{Name: name, Help: help, Labels: labels, Read: read}
	}
	stats := func() (s spool.Stats) {
		if q.spool != nil {
			s = q.spool.Stats()
		}
		return s
	}
	return []ledger.Gauge{
		gauge("delivery_queue_messages", "Messages in memory.", func() float64 { return float64(len(q.in)) }),
		gauge("delivery_queue_bytes", "Bytes in memory.", func() float64 { return float64(q.bytes.Load()) }),
		gauge("delivery_pending_items", "Points neither sent nor dropped.", func() float64 {
			return float64(q.Pending())
		}),
		gauge("spool_messages", "Messages on disk.", func() float64 { return float64(stats().Messages) }),
		gauge("spool_items", "Points on disk.", func() float64 { return float64(stats().Items) }),
		gauge("spool_bytes", "Size of the spool's files.", func() float64 { return float64(stats().Bytes) }),
	}
}
