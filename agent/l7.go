package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weft/aggregate"
	"weft/config"
	"weft/enrich/domain"
	"weft/enrich/selection"
	"weft/l7"
	"weft/l7/dnsflow"
	"weft/probe"
	"weft/protocol"
	"weft/record"
	"weft/source"
	"weft/source/conn"
	"weft/source/payload"
	"weft/source/tls"
)

// exchanges is httpflow and dnsflow: sources of payload, the engine and the
// tracker that make exchanges of it, and the windows that sum them up. One lock
// guards all of it; sources hold it for a batch of events.
//
//	payload → rows counted in the kernel ─────────────────────→ http window
//	payload, tls → chunks → l7.Engine → protocol → exchanges ─→ http window
//	payload → DNS messages → dnsflow.Tracker → transactions ──→ dns window
type exchanges struct {
	mu      sync.Mutex
	log     *slog.Logger
	cfg     *config.Config
	payload *payload.Source
	tls     plaintextRun
	engine  *l7.Engine
	tracker *dnsflow.Tracker
	http    *aggregate.HTTPWindow
	dns     *aggregate.DNSWindow
	hellos  *aggregate.TLSWindow
	secrets *secrets
	// oneHTTP and oneDNS are the row at hand, of which windows keep copies.
	oneHTTP record.Httpflow
	oneDNS  record.Dnsflow
	// lastDNS is the time of the DNS message at hand, in monotonic ns.
	lastDNS int64
	domains *domain.Cache
	nat     source.NAT // nil without ebpf-conntrack
	chosen  *selection.Selector
	// resolvers are the servers that this host asks: their traffic is kept even
	// on loopback.
	resolvers resolvers
	reload    chan *config.Config
	wantsTLS  bool
	// slow makes one interval of so many, of which turn have passed.
	slow atomic.Int32
	turn int32
	// relieved is when time last passed for those that wait, monotonic ns.
	relieved int64
}

// newExchanges builds the part on the tables of sockets that netflow keeps.
func newExchanges(d deps) (collector, error) {
	base, ok := d.built["conn"].(*conn.Source)
	if !ok {
		return nil, errors.New("netflow (TCP) is not running, and httpflow and dnsflow stand on its table of sockets")
	}
	rules, err := selection.Parse(d.cfg.L7.ProcessAllow, d.cfg.L7.ProcessDeny)
	if err != nil {
		return nil, fmt.Errorf("process selection: %w", err)
	}
	x := &exchanges{
		log: d.log, cfg: d.cfg, domains: d.domains, nat: d.nat(), resolvers: readResolvers(),
		chosen: selection.New(d.cfg.HostProc, rules, selfPID(d.cfg.HostProc)),
		http:   aggregate.NewHTTPWindow(aggregate.HTTPOptions{MaxRows: d.cfg.L7.MaxRows, Template: d.cfg.L7.PathTemplate}),
		dns:    aggregate.NewDNSWindow(aggregate.DNSOptions{MaxRows: d.cfg.L7.MaxRows, Names: d.cfg.L7.QueryNames}),
		hellos: aggregate.NewTLSWindow(d.cfg.L7.MaxRows),
		reload: make(chan *config.Config),
	}
	d.led.AddGauge(x.chosen.Gauges()...)
	x.tracker = dnsflow.New(dnsflow.Options{Timeout: d.cfg.L7.DNSTimeout, Out: x.transaction}, d.led)
	x.engine = l7.New(l7.Options{
		Protocols: protocols(d.cfg), MaxConns: d.cfg.L7.MaxConns, MaxMemory: d.cfg.Tables.Buffer,
		Out: x.exchange, Ended: x.ended, Skip: x.skip,
	}, d.led)
	x.payload, err = payload.New(d.cfg, base.Shared(), x.output(), d.led, d.log)
	if err != nil {
		return nil, err
	}
	x.secrets = newSecrets(d.led)
	if x.wantsTLS = slices.Contains(d.cfg.L7.Enabled, "httpflow-tls"); x.wantsTLS {
		x.tls.build = func() (*tls.Source, error) {
			return tls.New(d.cfg, base.Shared(), x.plaintext(), d.led, d.log)
		}
		x.tls.open()
	}
	return x, nil
}

// plaintext is where the TLS source puts things; it locks for each of them.
func (x *exchanges) plaintext() tls.Output {
	return tls.Output{
		Wanted: x.chosen.Wanted,
		Open: func(id l7.ConnID, i l7.Info) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.secrets.open(i.Flow, i.Joined, payload.Now())
			x.engine.Open(id, i)
		},
		Chunk: func(c *l7.Chunk) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.engine.Chunk(c)
		},
		Close: func(id l7.ConnID, at int64) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.engine.Close(id, at)
		},
	}
}

// output is where the payload source puts things.
func (x *exchanges) output() payload.Output {
	return payload.Output{
		Locker: &x.mu, Open: x.engine.Open, From: x.engine.From, Pending: x.engine.Pending,
		Chunk: x.engine.Chunk, Close: x.engine.Close,
		Ends: x.engine.Ends, DNS: x.datagram, Row: x.counted, Split: x.nat != nil, Idle: x.idle, TLS: x.handshake,
	}
}

// idle comes when a batch of events was handed over.
func (x *exchanges) idle(now int64) {
	x.engine.Expire(now)
	x.tracker.Expire(now)
}

// Capabilities implements collector.
func (x *exchanges) Capabilities() []probe.Capability {
	return append(x.payload.Capabilities(), x.tls.capabilities()...)
}

// tlsProcesses lists who uses TLS, for doctor.
func (x *exchanges) tlsProcesses() []probe.TLSProcess {
	var out []probe.TLSProcess
	for _, p := range x.tls.processes() {
		out = append(out, probe.TLSProcess{
			PID: p.PID, Name: p.Name, Kind: string(p.Kind), File: p.File, Reason: p.Reason,
		})
	}
	return out
}

// Close implements collector.
func (x *exchanges) Close() {
	x.payload.Close()
	x.tls.close()
}

// Run implements source.Source.
func (x *exchanges) Run(ctx context.Context, emit source.Emit) error {
	defer x.Close()
	ended := make(chan error, 1)
	go func() { ended <- x.read(ctx) }()
	flush := time.NewTicker(x.cfg.Interval)
	defer flush.Stop()
	pressure := time.NewTicker(look(x.cfg.Tables.ExchangeRows))
	defer pressure.Stop()
	for {
		select {
		case err := <-ended:
			return errors.Join(err, x.last(emit))
		case cfg := <-x.reload:
			if err := x.apply(cfg); err != nil {
				x.log.Error("httpflow and dnsflow keep their configuration", "err", err)
			}
			flush.Reset(x.cfg.Interval)
		case <-flush.C:
			if x.turn++; x.turn < x.slow.Load() {
				continue
			}
			x.turn = 0
			if err := x.flush(emit); err != nil {
				x.log.Error("httpflow lost an interval", "err", err)
			}
		case <-pressure.C:
			x.relieve()
		}
	}
}

// read runs the sources until both have handed over what they had.
func (x *exchanges) read(ctx context.Context) error {
	x.tls.run(ctx)
	err := x.payload.Run(ctx)
	return errors.Join(err, x.tls.wait())
}

// look is how often the kernel's table is looked at: a small one as often as
// 50,000 new rows a second take to fill half of it. 0 stands for the largest.
func look(rows int) time.Duration {
	if rows == 0 {
		return time.Second
	}
	return min(time.Second, max(10*time.Millisecond, time.Duration(rows/2)*time.Second/50_000))
}

// relieve reads the kernel's table out early when it fills up, and lets time
// pass where no events come.
func (x *exchanges) relieve() {
	if now := payload.Now(); now-x.relieved >= int64(time.Second) {
		x.relieved = now
		x.mu.Lock()
		x.idle(now)
		x.secrets.expire(now)
		x.mu.Unlock()
	}
	if x.payload.Full() {
		if err := x.payload.Flush(); err != nil {
			x.log.Error("early read-out failed", "err", err)
		}
	}
}

func (x *exchanges) flush(emit source.Emit) error {
	err := x.payload.Flush()
	x.mu.Lock()
	now := time.Now().UnixNano()
	rows := slices.Concat(x.http.Flush(now), x.dns.Flush(now), x.hellos.Flush(now))
	x.mu.Unlock()
	emit(rows)
	return err
}

// last is the flush at the end: what still waits for an answer is not guessed.
func (x *exchanges) last(emit source.Emit) error {
	x.mu.Lock()
	x.tracker.Flush(payload.Now())
	x.secrets.expire(math.MaxInt64)
	x.mu.Unlock()
	return x.flush(emit)
}

// Reload implements source.Source.
func (x *exchanges) Reload(cfg *config.Config) error {
	select {
	case x.reload <- cfg:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("httpflow did not take the new configuration in 10s")
	}
}

func (x *exchanges) apply(cfg *config.Config) error {
	rules, err := selection.Parse(cfg.L7.ProcessAllow, cfg.L7.ProcessDeny)
	if err != nil {
		return fmt.Errorf("process selection: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.chosen.Set(rules)
	x.tracker.SetTimeout(cfg.L7.DNSTimeout)
	x.resolvers = readResolvers()
	x.cfg = cfg
	if t := x.tls.live.Load(); t != nil {
		return errors.Join(t.Reload(cfg), x.payload.Reload(cfg))
	}
	return x.payload.Reload(cfg)
}

// ended: a connection that no protocol wants more of costs nothing more.
func (x *exchanges) ended(id l7.ConnID, why protocol.End) {
	if !id.TLS {
		x.payload.Unwanted(id, why == l7.Idle || why == l7.ConnsFull)
	}
}

func (x *exchanges) skip(id l7.ConnID, side protocol.Side, until uint64) {
	if !id.TLS {
		x.payload.Skip(id, side, until)
	} else if t := x.tls.live.Load(); t != nil {
		t.Skip(id, side, until)
	}
}
