package aggregate

import "weft/record"

// HTTPOptions configures an HTTPWindow.
type HTTPOptions struct {
	// MaxRows is how many different rows an interval holds before paths become
	// {overflow}; 0 for no bound. There are at most as many overflow rows, then
	// as many rows of whole processes, then a few of the host.
	MaxRows int
	// Template replaces what looks like an identifier in paths.
	Template bool
}

// HTTPWindow merges httpflow rows of one interval by their key. It is used by
// one goroutine at a time.
type HTTPWindow struct {
	rows     *limited[record.HTTPKey, record.Httpflow]
	template bool
}

// NewHTTPWindow returns an empty window.
func NewHTTPWindow(opt HTTPOptions) *HTTPWindow {
	key := func(r *record.Httpflow) *record.HTTPKey { return &r.HTTPKey }
	return &HTTPWindow{
		rows:     newLimited(opt.MaxRows, key, mergeHTTP, httpPath, httpProcess, httpHost),
		template: opt.Template,
	}
}

// Add merges the row into the window, which may change its key and does not
// keep it.
func (w *HTTPWindow) Add(row *record.Httpflow) {
	row.Path = NormalPath(row.Path)
	// The path of a gRPC call is the name of a method, which holds no identifier.
	if w.template && row.GRPCService == "" {
		row.Path = Template(row.Path)
	}
	w.rows.add(row)
}

// Len is the number of rows in the window.
func (w *HTTPWindow) Len() int { return len(w.rows.rows) }

// Overflowed is how many added rows lost their path to the bound so far.
func (w *HTTPWindow) Overflowed() int64 { return w.rows.overflowed }

// Flush takes all rows out, stamped with the time in Unix nanoseconds.
func (w *HTTPWindow) Flush(now int64) []record.Record {
	return w.rows.flush(func(r *record.Httpflow) record.Record {
		r.Time = now
		return r
	})
}

func mergeHTTP(have, row *record.Httpflow) {
	have.Count += row.Count
	have.LatencySum += row.LatencySum
	have.DurationSum += row.DurationSum
	have.LatencyCount += row.LatencyCount
	have.LatencyMax = max(have.LatencyMax, row.LatencyMax)
	have.BytesRead += row.BytesRead
	have.BytesWritten += row.BytesWritten
	have.Latencies.Merge(&row.Latencies)
}

// httpPath is the overflow row of a flow.
func httpPath(k record.HTTPKey) record.HTTPKey {
	k.Path, k.Truncated, k.GRPCService, k.GRPCStatus = overflow, false, "", -1
	return k
}

// httpProcess is the overflow row of a process. The status stays, because 0
// would say that there was no answer.
func httpProcess(k record.HTTPKey) record.HTTPKey {
	return record.HTTPKey{FlowKey: process(k.FlowKey), Path: overflow, Status: k.Status, TLS: k.TLS, GRPCStatus: -1}
}

func httpHost(k record.HTTPKey) record.HTTPKey {
	k.FlowKey = host(k.FlowKey)
	return k
}
