package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"weft/config"
	"weft/deliver"
	"weft/ledger"
	"weft/record"
	"weft/sink"
	"weft/sink/datakit"
	"weft/sink/screen"
	"weft/sink/stdout"
)

// outputQueue is how many points may wait before one sink; patience how long
// the pipeline waits for one that is behind, before it drops for it.
const (
	outputQueue = 65536
	patience    = time.Second
)

// outputs fans points out to the sinks. Each has its own bounded queue and
// goroutine, so that a slow one delays nobody.
type outputs struct {
	log    *slog.Logger
	ledger *ledger.Ledger
	cfg    *config.Config
	active []*output
}

type output struct {
	name  string
	sink  sink.Sink
	log   *slog.Logger
	stage *ledger.Stage
	queue chan []record.Point
	done  chan struct{}
	// stuck: it did not take anything for the pipeline's patience, and is not
	// waited for until it does.
	stuck bool
}

func openOutputs(cfg *config.Config, led *ledger.Ledger, log *slog.Logger) (*outputs, error) {
	o := &outputs{log: log, ledger: led, cfg: cfg}
	return o, o.open(cfg)
}

func (o *outputs) open(cfg *config.Config) error {
	queue := queuePoints(cfg)
	for _, name := range cfg.Sinks {
		s, err := buildSink(name, cfg, o.ledger, o.log)
		if err != nil {
			return errors.Join(fmt.Errorf("sink %s: %w", name, err), o.close(context.Background()))
		}
		out := &output{
			name: name, sink: s, log: o.log, stage: o.ledger.Stage("queue." + name),
			queue: make(chan []record.Point, max(queue/pieceSize, 2)), done: make(chan struct{}),
		}
		go out.run()
		o.active = append(o.active, out)
	}
	return nil
}

// queuePoints is how many points may wait.
func queuePoints(cfg *config.Config) int {
	if cfg.Tables.Queue > 0 {
		return cfg.Tables.Queue
	}
	return outputQueue
}

// buildSink is the list of sinks.
func buildSink(name string, cfg *config.Config, led *ledger.Ledger, log *slog.Logger) (sink.Sink, error) {
	switch name {
	case "stdout":
		return stdout.New(os.Stdout, led.Stage("sink.stdout")), nil
	case "screen":
		return screen.New(os.Stdout, led.Stage("sink.screen")), nil
	case "datakit":
		return openDataKit(cfg, led, log)
	}
	return nil, fmt.Errorf("unknown sink %q: have stdout, screen, datakit", name)
}

// openDataKit puts the datakit sink before its delivery queue and spool.
func openDataKit(cfg *config.Config, led *ledger.Ledger, log *slog.Logger) (sink.Sink, error) {
	client, err := datakit.NewClient(cfg.DataKit)
	if err != nil {
		return nil, err
	}
	o := deliver.Options{
		Sender: client, Stage: led.Stage("deliver.datakit"),
		Dir: filepath.Join(cfg.StateDir, "spool", "datakit"), SpoolBytes: cfg.DataKit.SpoolBytes,
		Report: func(err error) {
			log.Warn("datakit", "server", cfg.DataKit.Server, "err", err)
			client.ReportError(err.Error())
		},
	}
	queue, err := deliver.Start(o)
	if err != nil {
		log.Error("datakit goes on without a spool: an outage will lose points", "err", err)
		o.Dir = ""
		if queue, err = deliver.Start(o); err != nil {
			client.Close()
			return nil, err
		}
	}
	s, err := datakit.New(cfg.DataKit, queue, led.Stage("sink.datakit"))
	if err != nil {
		client.Close()
		return nil, errors.Join(err, queue.Close(context.Background()))
	}
	led.AddGauge(append(queue.Gauges("datakit"), s.Gauges()...)...)
	return &dataKitSink{Sink: s, client: client}, nil
}

// dataKitSink closes the client behind the sink, and reports to its server.
type dataKitSink struct {
	*datakit.Sink
	client *datakit.Client
}

func (s *dataKitSink) Close(ctx context.Context) error {
	defer s.client.Close()
	return s.Sink.Close(ctx)
}

// report tells servers that take such reports what is wrong with the collector.
func (o *outputs) report(text string) {
	for _, out := range o.active {
		if r, ok := out.sink.(*dataKitSink); ok {
			r.client.ReportError(text)
		}
	}
}

// write hands the points to every sink.
func (o *outputs) write(points []record.Point) {
	if len(points) == 0 {
		return
	}
	for _, out := range o.active {
		out.stage.In(int64(len(points)))
		if !out.offer(points) {
			out.stage.Drop("queue_full", int64(len(points)))
		}
	}
}

// offer waits a little for a sink that is behind: an interval may have more
// points than fit into its queue.
func (out *output) offer(points []record.Point) bool {
	select {
	case out.queue <- points:
		out.stuck = false
		return true
	default:
	}
	if out.stuck {
		return false
	}
	select {
	case out.queue <- points:
		return true
	case <-time.After(patience):
		out.stuck = true
		return false
	}
}

func (out *output) run() {
	defer close(out.done)
	for points := range out.queue {
		if err := out.sink.Write(context.Background(), points); err != nil {
			out.log.Error("sink", "name", out.name, "err", err)
		}
		out.stage.Out(int64(len(points)))
	}
}

// reload replaces the sinks if their configuration differs. The old ones give
// up their spools first, since the new ones take them over.
func (o *outputs) reload(cfg *config.Config) error {
	old := o.cfg
	if reflect.DeepEqual(old.Sinks, cfg.Sinks) && reflect.DeepEqual(old.DataKit, cfg.DataKit) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := o.close(ctx); err != nil {
		o.log.Error("close sinks", "err", err)
	}
	o.cfg = cfg
	if err := o.open(cfg); err != nil {
		o.cfg = old
		return errors.Join(err, o.open(old))
	}
	return nil
}

// close drains the queues into the sinks until ctx ends and closes them.
func (o *outputs) close(ctx context.Context) error {
	var errs []error
	for _, out := range o.active {
		close(out.queue)
		select {
		case <-out.done:
		case <-ctx.Done():
		}
		if err := out.sink.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close sink %s: %w", out.name, err))
		}
	}
	o.active = nil
	return errors.Join(errs...)
}
