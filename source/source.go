// Package source holds the contract of a source: one kernel vantage point that
// turns what it sees into records. Each source is a folder below this one.
package source

import (
	"context"
	"net/netip"

	"weft/config"
	"weft/record"
)

// Emit hands a batch of records to the pipeline. It never blocks for long: the
// queue behind it is bounded and drops are counted. The source gives the
// records away and must not touch them afterwards.
type Emit func(batch []record.Record)

// Source is one vantage point. It is built attached: an error of its
// constructor means that the capability cannot start, which is reported while
// the rest runs.
type Source interface {
	// Run collects until ctx ends, then emits what it still holds (the last
	// partial interval), detaches everything and returns.
	Run(ctx context.Context, emit Emit) error
	// Reload takes a new configuration over without losing an interval.
	Reload(cfg *config.Config) error
}

// NAT returns where NAT sent an outgoing flow that has its exact ports; the
// zero value for one without DNAT. Of the monotonic times in ns, when is one at
// which the connection was open, 0 when none is known, and out is the end of
// what the row tells. A nil NAT says that nobody knows.
type NAT func(k *record.FlowKey, when, out int64) netip.AddrPort
