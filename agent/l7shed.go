package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"weft/probe"
	"weft/source/payload"
	"weft/source/tls"
)

// plaintextRun is the TLS source at work. It can be ended and begun again while
// the rest of the exchanges runs.
type plaintextRun struct {
	build func() (*tls.Source, error)

	mu     sync.Mutex
	source *tls.Source // nil when not asked for, not to be had, or left out
	// live is source for those who may not wait: what ends it calls them.
	live   atomic.Pointer[tls.Source]
	err    error // why it is not to be had
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	ended  error // valid once done is closed
}

// open builds the source, attached.
func (r *plaintextRun) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source, r.err = r.build()
	r.live.Store(r.source)
}

// run begins to read. ctx is that of the exchanges.
func (r *plaintextRun) run(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	r.begin()
}

func (r *plaintextRun) begin() {
	if r.source == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	source, done := r.source, make(chan struct{})
	r.cancel, r.done = cancel, done
	go func() {
		defer close(done)
		r.ended = source.Run(ctx)
	}()
}

// wait ends the source after what it still has.
func (r *plaintextRun) wait() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		return nil
	}
	r.cancel()
	<-r.done
	r.done = nil
	return r.ended
}

// leaveOut ends the source, which frees its tables and takes its probes out of
// processes, or builds and begins it again.
func (r *plaintextRun) leaveOut(out bool) error {
	if out {
		err := r.wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.source = nil
		r.live.Store(nil)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source != nil || r.ctx == nil || r.ctx.Err() != nil {
		return nil
	}
	r.source, r.err = r.build()
	r.live.Store(r.source)
	r.begin()
	return r.err
}

// capabilities tells which doors are open and why others are not.
func (r *plaintextRun) capabilities() []probe.Capability {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []probe.Capability
	if r.source != nil {
		all = r.source.Capabilities()
	}
	if r.err != nil {
		all = append(slices.Clip(all), probe.Capability{
			Name: "tls plaintext", Feature: "httpflow-tls",
			Failed: []probe.Attempt{{Door: "uprobe", Why: r.err.Error()}},
		})
	}
	return all
}

// processes are those that use TLS.
func (r *plaintextRun) processes() []tls.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source == nil {
		return nil
	}
	return r.source.Processes()
}

func (r *plaintextRun) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source != nil {
		r.source.Close()
	}
}

// shed leaves out what the step of limits.go says.
func (x *exchanges) shed(step int) error {
	level := payload.ShedNothing
	switch {
	case step >= shedHTTP:
		level = payload.ShedHTTP
	case step >= shedParsed:
		level = payload.ShedParsed
	}
	x.slow.Store(pace(step))
	x.mu.Lock()
	err := x.payload.Shed(level)
	if step >= shedParsed {
		x.engine.Shed()
	}
	x.mu.Unlock()
	if x.wantsTLS {
		err = errors.Join(err, x.tls.leaveOut(step >= shedParsed))
	}
	return err
}

// pace is how many intervals a step makes one of.
func pace(step int) int32 {
	if step >= shedSlow {
		return slowFactor
	}
	return 1
}
