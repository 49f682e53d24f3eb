package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"syscall"

	"weft/config"
	"weft/enrich/process"
	"weft/ledger"
	"weft/record"
)

// batches is how many batches may wait between the sources and the pipeline.
const batches = 64

// pipeline is the path of a record on one page:
//
//	source → emit → [queue] → enrich → fill → flatten → global tags → sinks
//
// Everything between the queue and the sinks' own queues is a plain function
// over a batch, in one goroutine.
type pipeline struct {
	log   *slog.Logger
	stage *ledger.Stage
	queue chan []record.Record
	apply chan *config.Config
	done  chan struct{}

	names    *process.Namer
	netnsDev uint64
	flat     *record.Flattener
	global   []record.Tag
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
		queue: make(chan []record.Record, batches), apply: make(chan *config.Config), done: make(chan struct{}),
		names: process.New(procRoot()), netnsDev: nsfsDev(), flat: flat, global: globalTags(cfg), outs: outs,
	}
	go p.run()
	return p, nil
}

// emit is the source.Emit of every source. It does not block.
func (p *pipeline) emit(batch []record.Record) {
	if len(batch) == 0 {
		return
	}
	p.stage.In(int64(len(batch)))
	select {
	case p.queue <- batch:
	default:
		p.stage.Drop("queue_full", int64(len(batch)))
	}
}

func (p *pipeline) run() {
	defer close(p.done)
	for {
		select {
		case cfg := <-p.apply:
			p.global = globalTags(cfg)
			if err := p.outs.reload(cfg); err != nil {
				p.log.Error("sinks keep their configuration", "err", err)
			}
		case batch, ok := <-p.queue:
			if !ok {
				return
			}
			p.process(batch)
		}
	}
}

func (p *pipeline) process(batch []record.Record) {
	points := make([]record.Point, 0, len(batch))
	for _, r := range batch {
		p.enrich(r)
		points = append(points, record.Point{})
		pt := &points[len(points)-1]
		if !p.flat.Flatten(r, pt) {
			points = points[:len(points)-1]
			p.stage.Drop("unknown_measurement", 1)
			continue
		}
		pt.AddTags(p.global)
	}
	p.stage.Out(int64(len(points)))
	p.outs.write(points)
}

// enrich fills a record in place from what this host knows.
func (p *pipeline) enrich(r record.Record) {
	if n, ok := r.(*record.Netflow); ok {
		n.ProcessName = p.names.Name(n.PID, n.Comm)
		n.Fill(p.netnsDev)
	}
}

// reload changes global tags and sinks between two batches.
func (p *pipeline) reload(cfg *config.Config) error {
	select {
	case p.apply <- cfg:
		return nil
	case <-p.done:
		return errors.New("the pipeline has ended")
	}
}

// stop drains the queue into the sinks and closes them. No source may emit.
func (p *pipeline) stop(ctx context.Context) error {
	close(p.queue)
	<-p.done
	return p.outs.close(ctx)
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

func procRoot() string {
	if r := os.Getenv("HOST_PROC"); r != "" {
		return r
	}
	return "/proc"
}

// nsfsDev is the device number of nsfs, the <dev> of NS(<dev>:<ino>).
func nsfsDev() uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/net", &st); err != nil {
		return 0
	}
	return st.Dev
}
