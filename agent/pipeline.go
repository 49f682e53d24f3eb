package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"weft/config"
	"weft/enrich/domain"
	"weft/enrich/localip"
	"weft/enrich/process"
	"weft/ledger"
	"weft/record"
	"weft/sample"
	"weft/source/exec"
)

// batches is how many batches may wait between the sources and the pipeline.
const batches = 64

// pieceSize is how many points are made at a time.
const pieceSize = 256

// pipeline is the path of a record on one page:
//
//	source → emit → [queue] → enrich → fill → sample → flatten → global tags → sinks
//
// Everything between the queue and the sinks' own queues is a plain function
// over a batch, in one goroutine.
type pipeline struct {
	log   *slog.Logger
	stage *ledger.Stage
	queue chan []record.Record
	apply chan func()
	done  chan struct{}
	// waiting are the records in the queue and at work; beyond most, sources wait.
	waiting atomic.Int64
	most    int64

	names    *process.Namer
	local    *localip.Resolver
	domains  *domain.Cache
	sessions atomic.Pointer[exec.Sessions] // nil without ebpf-bash and ebpf-exec
	netnsDev uint64
	flat     *record.Flattener
	global   []record.Tag
	sampling *sampling
	outs     *outputs
}

func newPipeline(cfg *config.Config, led *ledger.Ledger, log *slog.Logger) (*pipeline, error) {
	flat, err := record.NewFlattener()
	if err != nil {
		return nil, err
	}
	outs, err := openOutputs(cfg, led, log)
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		log: log, stage: led.Stage("pipeline"),
		queue: make(chan []record.Record, batches), apply: make(chan func()), done: make(chan struct{}),
		names: process.New(cfg.HostProc), local: localip.New(cfg.HostProc),
		domains:  domain.New(domain.Options{MaxEntries: cfg.Tables.Names}),
		netnsDev: nsfsDev(), most: int64(queuePoints(cfg)),
		flat: flat, global: globalTags(cfg), sampling: newSampling(cfg), outs: outs,
	}
	p.domains.SetFloor(domainFloor(cfg))
	led.AddGauge(p.domains.Gauges()...)
	go p.run()
	return p, nil
}

// emit is the source.Emit of every source. It waits a little while more records
// are on their way than may be, and drops what does not fit into the queue then.
func (p *pipeline) emit(batch []record.Record) {
	if len(batch) == 0 {
		return
	}
	n := int64(len(batch))
	p.stage.In(n)
	for end := time.Now().Add(patience); p.waiting.Load() > p.most && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if p.waiting.Load() <= p.most {
		p.waiting.Add(n)
		select {
		case p.queue <- batch:
			return
		default:
			p.waiting.Add(-n)
		}
	}
	p.stage.Drop("queue_full", n)
}

func (p *pipeline) run() {
	defer close(p.done)
	for {
		select {
		case change := <-p.apply:
			change()
		case batch, ok := <-p.queue:
			if !ok {
				return
			}
			p.process(batch)
		}
	}
}

// process takes a batch in pieces, so that points, which take more memory than
// records, are not all there at a time.
func (p *pipeline) process(batch []record.Record) {
	p.sampling.begin(batch)
	for piece := range slices.Chunk(batch, pieceSize) {
		points := p.points(piece)
		clear(piece)
		p.sampling.end(points)
		p.stage.Out(int64(len(points)))
		p.outs.write(points)
		p.waiting.Add(-int64(len(piece)))
	}
	p.domains.Expire(time.Now().UnixNano())
}

// points are the outgoing form of the records that are kept.
func (p *pipeline) points(batch []record.Record) []record.Point {
	points := make([]record.Point, 0, len(batch))
	for _, r := range batch {
		p.enrich(r)
		rate := p.sampling.rate(r)
		if f, ok := r.(record.Flow); ok && !sample.OfFlow(f.Key()).Keep(rate) {
			p.stage.Drop("sampled_out", 1)
			continue
		}
		var pt record.Point
		if !p.flat.Flatten(r, &pt) {
			p.stage.Drop("unknown_measurement", 1)
			continue
		}
		if _, ok := r.(record.Flow); !ok {
			if key, is := sample.OfPoint(&pt); !is {
				rate = 1 // nothing to decide by: it stays
			} else if !key.Keep(rate) {
				p.stage.Drop("sampled_out", 1)
				continue
			}
		}
		mark(&pt, rate)
		pt.AddTags(p.global)
		points = append(points, pt)
	}
	return points
}

// enrich fills a record in place from what this host knows.
func (p *pipeline) enrich(r record.Record) {
	f, ok := r.(record.Flow)
	if !ok {
		return
	}
	k, names := f.Key(), f.Names()
	names.ProcessName = p.names.Name(k.PID, k.Comm)
	if k.Src.IsUnspecified() && k.Dst.IsValid() && !k.Dst.IsUnspecified() {
		if local, known := p.local.Local(k.NetNS, k.PID, k.Dst); known {
			k.Src = local
		}
	}
	names.DstDomain = p.domains.Domain(k.NetNS, k.PID, k.Dst, time.Now().UnixNano())
	names.SessionID = p.sessions.Load().Of(k.PID)
	f.Fill(p.netnsDev)
}

// reload changes global tags and sinks between two batches.
func (p *pipeline) reload(cfg *config.Config) error {
	result := make(chan error, 1)
	p.between(func() {
		p.global = globalTags(cfg)
		p.domains.SetFloor(domainFloor(cfg))
		if !wantsSessions(cfg) {
			p.sessions.Store(nil)
		}
		shedding := p.sampling.shedding
		p.sampling = newSampling(cfg)
		p.sampling.shedding = shedding
		result <- p.outs.reload(cfg)
	})
	return <-result
}

// report sends a sentence about the collector itself to the sinks' servers.
func (p *pipeline) report(text string) {
	p.between(func() { p.outs.report(text) })
}

// shed makes samples of exchanges, or stops to.
func (p *pipeline) shed(on bool) {
	p.between(func() { p.sampling.shedding = on })
}

// between runs f in the pipeline's goroutine, between two batches; never when
// it has stopped.
func (p *pipeline) between(f func()) {
	select {
	case p.apply <- f:
	case <-p.done:
	}
}

// stop drains the queue into the sinks and closes them. No source may emit.
func (p *pipeline) stop(ctx context.Context) error {
	close(p.queue)
	<-p.done
	return errors.Join(p.outs.close(ctx), p.local.Close())
}

// domainFloor is how long names are kept at least. Rows are looked up when their
// interval ends, so what was asked at its beginning must still be known.
func domainFloor(cfg *config.Config) time.Duration {
	return max(cfg.L7.DomainTTLFloor, 2*cfg.Interval)
}

// globalTags are host, service and the user's own, in a stable order.
func globalTags(cfg *config.Config) []record.Tag {
	tags := []record.Tag{{Key: "host", Value: cfg.Hostname}, {Key: "service", Value: cfg.Service}}
	for _, k := range slices.Sorted(maps.Keys(cfg.Tags)) {
		if k != "host" && k != "service" {
			tags = append(tags, record.Tag{Key: k, Value: cfg.Tags[k]})
			continue
		}
		tags[slices.Index([]string{"host", "service"}, k)].Value = cfg.Tags[k]
	}
	return tags
}

// nsfsDev is the device number of nsfs, the <dev> of NS(<dev>:<ino>).
func nsfsDev() uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/net", &st); err != nil {
		return 0
	}
	return st.Dev
}
