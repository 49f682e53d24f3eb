// Package sink holds the contract of a sink: where points go. Each sink is a
// folder below this one.
package sink

import (
	"context"

	"weft/record"
)

// Sink takes points out of the process. Write is called from one goroutine at
// a time, never from a source's; it may block, since a bounded queue stands
// before it.
type Sink interface {
	// Write gives the batch on. An error means that the batch is lost; the
	// sink has counted it with its reason before it returns.
	Write(ctx context.Context, batch []record.Point) error
	// Close flushes what can be flushed before ctx ends and frees the sink.
	Close(ctx context.Context) error
}
