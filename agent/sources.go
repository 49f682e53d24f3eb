package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"weft/source"
)

// running is a source at work.
type running struct {
	name   string
	source collector
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid once done is closed
}

func start(name string, s collector, emit source.Emit) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{name: name, source: s, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx, emit)
	}()
	return r
}

// stop ends the source after its last flush.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	if r.err != nil {
		return fmt.Errorf("source %s: %w", r.name, r.err)
	}
	return nil
}

// dead is nil while the source runs, else why it does not.
func (r *running) dead() error {
	select {
	case <-r.done:
		return fmt.Errorf("source %s ended: %w", r.name, errors.Join(r.err, context.Canceled))
	default:
		return nil
	}
}

// startSources starts every part that is wanted and can start; the others are
// reported. It fails when none is left.
func (a *Agent) startSources() error {
	for _, name := range notBuilt(a.cfg) {
		a.log.Warn("plugin is not built in this version and is left out", "plugin", name)
	}
	var errs []error
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range parts() {
		if p.wanted(a.cfg) {
			errs = append(errs, a.startPart(p))
		}
	}
	if !a.collects() {
		return errors.Join(append([]error{errors.New("nothing to collect: no enabled plugin could start")}, errs...)...)
	}
	return nil
}

// collects tells whether any source runs that emits records.
func (a *Agent) collects() bool {
	return slices.ContainsFunc(parts(), func(p part) bool { return !p.auxiliary && a.sources[p.name] != nil })
}

func (a *Agent) deps() deps {
	d := deps{
		cfg: a.cfg, led: a.ledger, log: a.log, domains: a.pipe.domains, local: a.pipe.local, sessions: &a.pipe.sessions,
		built: map[string]collector{},
	}
	for name, r := range a.sources {
		d.built[name] = r.source
	}
	return d
}

func (a *Agent) startPart(p part) error {
	s, err := p.build(a.deps())
	if err != nil {
		a.failed[p.name] = err
		a.lost(p.capability, err)
		return err
	}
	delete(a.failed, p.name)
	for _, c := range s.Capabilities() {
		if !c.OK() {
			a.lost(c.Name, c.Err())
			continue
		}
		a.log.Info("capability", "name", c.Name, "door", c.Door)
	}
	a.sources[p.name] = start(p.name, s, a.pipe.emit)
	return nil
}

// reloadSources starts, stops and reconfigures sources after SIGHUP.
func (a *Agent) reloadSources() {
	for _, p := range parts() {
		r, want := a.sources[p.name], p.wanted(a.cfg)
		switch {
		case p.auxiliary && (r == nil || !want):
		case r == nil && want:
			_ = a.startPart(p) // logged there
		case r != nil && !want:
			if err := r.stop(); err != nil {
				a.log.Error("stop", "err", err)
			}
			delete(a.sources, p.name)
		case r != nil:
			if err := r.source.Reload(a.cfg); err != nil {
				a.log.Error("reload", "source", p.name, "err", err)
			}
		}
	}
}

// lost tells the log and the servers that take such reports.
func (a *Agent) lost(capability string, err error) {
	a.log.Error("capability is missing, the rest runs", "capability", capability, "err", err)
	a.pipe.report(fmt.Sprintf("weft: %s is missing: %v", capability, err))
}
