// Package datakit is the sink that feeds a DataKit server: points are grouped
// by category, encoded in requests of at most 256 points and handed to a queue
// (package deliver, wired by agent), which gives them back to Client.Send one
// at a time and in order.
package datakit

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"weft/config"
	"weft/ledger"
	"weft/record"
	"weft/record/encode"
)

// maxPoints is the reference's number of points in a request.
const maxPoints = 256

// Queue takes encoded requests. Enqueue returns at once; false means that the
// queue dropped the request and counted it. Close sends what it can until ctx
// ends.
type Queue interface {
	Enqueue(msg []byte, items int) bool
	Close(ctx context.Context) error
}

// Sink encodes points for a queue. Write is not safe for concurrent use.
type Sink struct {
	queue Queue
	stage *ledger.Stage
	lines bool // line protocol instead of PBPoints
	zip   *gzip.Writer
	buf   []byte
	zbuf  bytes.Buffer
	cut   atomic.Int64
}

// New returns a sink that encodes as cfg says. It counts points in stage: out
// is what the queue was given.
func New(cfg config.DataKit, queue Queue, stage *ledger.Stage) (*Sink, error) {
	s := &Sink{queue: queue, stage: stage}
	switch cfg.Encoding {
	case "", "protobuf":
	case "line-protocol":
		s.lines = true
	default:
		return nil, fmt.Errorf("encoding %q is not one of protobuf, line-protocol", cfg.Encoding)
	}
	if cfg.Gzip {
		// The body is mostly repeated keys: the fastest level gains most of it.
		z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			return nil, fmt.Errorf("start gzip: %w", err)
		}
		s.zip = z
	}
	return s, nil
}

// Write encodes batch and enqueues it; it does not wait for the server. Points
// of one category keep their order. An error means that points were lost and
// counted, by this sink (unencodable) or by the queue.
func (s *Sink) Write(_ context.Context, batch []record.Point) error {
	s.stage.In(int64(len(batch)))
	var errs []error
	for _, g := range group(batch) {
		if err := s.request(g.category, g.points); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

type categoryGroup struct {
	category record.Category
	points   []record.Point
}

// group splits batch into requests, in the order in which they fill up.
func group(batch []record.Point) []categoryGroup {
	var done, open []categoryGroup
	for _, p := range batch {
		i := 0
		for i < len(open) && open[i].category != p.Category {
			i++
		}
		if i == len(open) {
			open = append(open, categoryGroup{category: p.Category})
		}
		g := &open[i]
		g.points = append(g.points, p)
		if len(g.points) == maxPoints {
			done = append(done, *g)
			g.points = nil
		}
	}
	for _, g := range open {
		if len(g.points) > 0 {
			done = append(done, g)
		}
	}
	return done
}

// request encodes and enqueues one request.
func (s *Sink) request(c record.Category, points []record.Point) error {
	var loss encode.Loss
	if s.lines {
		s.buf, loss = encode.AppendLineProtocol(s.buf[:0], points)
	} else {
		s.buf, loss = encode.AppendPBPoints(s.buf[:0], points)
	}
	s.cut.Add(int64(loss.Cut))
	if loss.Points > 0 {
		s.stage.Drop("unencodable", int64(loss.Points))
	}
	items := len(points) - loss.Points
	if items == 0 {
		return fmt.Errorf("encode %s: none of %d points can be encoded", c.Input, len(points))
	}
	body, err := s.compress(s.buf)
	if err != nil {
		s.stage.Drop("unencodable", int64(items))
		return fmt.Errorf("compress %s: %w", c.Input, err)
	}
	e := envelope{lines: s.lines, gzip: s.zip != nil, kind: c.Kind, input: c.Input, body: body}
	s.stage.Out(int64(items))
	if !s.queue.Enqueue(e.append(nil), items) {
		return fmt.Errorf("enqueue %d points of %s: the queue dropped them", items, c.Input)
	}
	return nil
}

// compress returns body as it is sent; the result is valid until the next call.
func (s *Sink) compress(body []byte) ([]byte, error) {
	if s.zip == nil {
		return body, nil
	}
	s.zbuf.Reset()
	s.zip.Reset(&s.zbuf)
	if _, err := s.zip.Write(body); err != nil {
		return nil, err
	}
	if err := s.zip.Close(); err != nil {
		return nil, err
	}
	return s.zbuf.Bytes(), nil
}

// Close closes the queue: it sends what it can until ctx ends.
func (s *Sink) Close(ctx context.Context) error { return s.queue.Close(ctx) }

// Gauges returns the sink's gauges for /metrics.
func (s *Sink) Gauges() []ledger.Gauge {
	return []ledger.Gauge{{
		Name: "datakit_values_cut_total",
		Help: "Names, tags and fields that were shortened or left out because of a limit of DataKit's points.",
		Read: func() float64 { return float64(s.cut.Load()) },
	}}
}
