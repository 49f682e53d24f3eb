package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/spool"
)

// worker is the state machine behind a Queue. Its messages stand in one line:
// the one being sent, then the spool, then held, then the channel.
type worker struct {
	q     *Queue
	spool *spool.Spool // nil when there is none

	sending *spool.Message // nil between attempts
	spooled bool           // the message being sent is also the spool's first
	results chan error
	cancel  context.CancelFunc // of the attempt
	ctx     context.Context    // of all attempts
	stop    context.CancelFunc

	// held has what the spool would not take, and at most two messages: while
	// there is one, nothing is taken from the channel to the disk.
	held     []spool.Message
	waiting  bool // between a failure and the next attempt
	slow     bool // the attempt takes long
	failures int
	timer    *time.Timer // ends waiting, or sets slow

	final    bool            // Close was called
	ended    <-chan struct{} // Close's ctx
	gaveUp   bool
	dirty    bool // the spool has messages that Sync has not seen
	synced   time.Time
	spoolErr bool // the last Append failed
}

func newWorker(q *Queue) *worker {
	w := &worker{q: q, spool: q.spool, results: make(chan error, 1), timer: time.NewTimer(0)}
	w.timer.Stop()
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *worker) run() {
	defer close(w.q.done)
	defer w.stop()
	for {
		w.next()
		if w.sending == nil && w.final && (w.gaveUp || !w.waiting) {
			break
		}
		select {
		case m := <-w.intake():
			w.took(m)
			w.put(m)
		case err := <-w.results:
			w.settle(err)
		case <-w.timer.C:
			w.tick()
		case <-w.q.pressure:
		case ctx := <-w.q.closing:
			w.close(ctx)
		case <-w.ended:
			w.giveUp()
		}
		w.sync()
	}
	w.finish()
}

// next starts an attempt with the first message in line, if it is time.
func (w *worker) next() {
	if w.sending != nil || w.waiting || w.gaveUp {
		return
	}
	m, ok := w.first()
	if !ok {
		return
	}
	w.sending, w.slow = &m, false
	ctx, cancel := context.WithCancel(w.ctx)
	w.cancel = cancel
	w.timer.Reset(w.q.opts.Slow)
	go func() { w.results <- w.q.opts.Sender.Send(ctx, m.Body) }()
}

func (w *worker) first() (m spool.Message, ok bool) {
	w.spooled = false
	if w.spool != nil {
		if m, ok = w.spool.Next(); ok {
			w.spooled = true
			return m, true
		}
	}
	if len(w.held) > 0 {
		m, w.held = w.held[0], w.held[1:]
		return m, true
	}
	select {
	case m = <-w.q.in:
		w.took(m)
		return m, true
	default:
		return m, false
	}
}

func (w *worker) took(m spool.Message) { w.q.bytes.Add(-int64(len(m.Body))) }

// intake is the channel when its messages should be taken: with nothing to do,
// or when they are better off on disk.
func (w *worker) intake() <-chan spool.Message {
	idle := w.sending == nil && !w.waiting && !w.gaveUp
	half := len(w.q.in) >= cap(w.q.in)/2 || w.q.bytes.Load() >= w.q.opts.Bytes/2
	if idle || (w.spool != nil && len(w.held) == 0 && (w.spooled || w.waiting || w.slow || half)) {
		return w.q.in
	}
	return nil
}

// put stores m: in memory when it is sent next anyway, else on disk.
func (w *worker) put(m spool.Message) {
	w.held = append(w.held, m)
	if w.sending != nil || w.waiting {
		w.store()
	}
}

// store moves the message being sent and the held ones to the disk, in order,
// as far as it takes them.
func (w *worker) store() {
	if w.spool == nil {
		return
	}
	if w.sending != nil && !w.spooled {
		if !w.append(*w.sending) {
			return
		}
		// It is the spool's only message: what is newer comes behind it.
		_, w.spooled = w.spool.Next()
	}
	for len(w.held) > 0 && w.append(w.held[0]) {
		w.held = w.held[1:]
	}
}

func (w *worker) append(m spool.Message) bool {
	err := w.spool.Append(m)
	if err != nil && !w.spoolErr {
		w.q.opts.Report(err)
	}
	w.spoolErr = err != nil
	if err != nil {
		return false
	}
	w.dirty = true
	w.q.memory.Add(-int64(m.Items))
	return true
}

// settle ends an attempt.
func (w *worker) settle(err error) {
	w.cancel()
	m := *w.sending
	w.sending, w.slow = nil, false
	w.timer.Stop()
	var p permanentError
	switch {
	case err == nil:
		w.failures = 0
		w.leave(m)
		w.q.opts.Stage.Out(int64(m.Items))
	case errors.As(err, &p) && p.Permanent():
		w.failures = 0
		w.leave(m)
		w.q.opts.Stage.Drop(reasonOf(err), int64(m.Items))
		w.q.opts.Report(fmt.Errorf("message dropped: %w", err))
	default:
		w.retry(m, err)
	}
}

// leave takes a finished message out of the line.
func (w *worker) leave(m spool.Message) {
	if !w.spooled {
		w.q.memory.Add(-int64(m.Items))
		return
	}
	if err := w.spool.Ack(); err != nil {
		w.q.opts.Report(err)
	}
}

// retry puts a failed message back to the head of the line and waits.
func (w *worker) retry(m spool.Message, err error) {
	w.failures++
	if w.failures == 1 {
		w.q.opts.Report(fmt.Errorf("delivery failed, will be tried again: %w", err))
	}
	if w.spooled {
		w.spool.Release()
	} else {
		w.held = append([]spool.Message{m}, w.held...)
		w.store()
	}
	if w.final && (w.spool != nil || w.gaveUp) {
		w.gaveUp = true
		return
	}
	w.waiting = true
	w.timer.Reset(w.q.opts.delay(w.failures, err))
}

func (w *worker) tick() {
	w.store()
	if w.waiting {
		w.waiting = false
		return
	}
	w.slow = w.sending != nil
}

// close begins the end: one attempt at once for what was waiting.
func (w *worker) close(ctx context.Context) {
	w.final, w.ended = true, ctx.Done()
	if w.sending == nil {
		w.timer.Stop()
		w.waiting = false
	}
}

// giveUp ends the attempt that is on its way; its result still arrives.
func (w *worker) giveUp() {
	w.gaveUp, w.ended, w.waiting = true, nil, false
	w.stop()
}

// sync makes the spool durable when a burst is on disk, at most once a second.
func (w *worker) sync() {
	if !w.dirty || len(w.q.in) > 0 || time.Since(w.synced) < time.Second {
		return
	}
	w.dirty, w.synced = false, time.Now()
	if err := w.spool.Sync(); err != nil {
		w.q.opts.Report(err)
	}
}

// finish puts away what could not be sent.
func (w *worker) finish() {
	for more := true; more; {
		w.store()
		for _, m := range w.held {
			w.q.memory.Add(-int64(m.Items))
			w.q.opts.Stage.Drop(Shutdown, int64(m.Items))
		}
		w.held = nil
		select {
		case m := <-w.q.in:
			w.took(m)
			w.held = append(w.held, m)
		default:
			more = false
		}
	}
	if w.spool != nil {
		w.q.closeErr = w.spool.Close()
	}
}
