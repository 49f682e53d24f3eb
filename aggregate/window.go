// Package aggregate is the time window: rows of one interval with the same key
// become one record. Pure functions on records, no I/O.
package aggregate

import "weft/record"

// FlowWindow merges netflow rows that were read out of the kernel in pieces.
// It is used by one goroutine at a time.
type FlowWindow struct {
	rows map[record.FlowKey]*record.Netflow
}

// NewFlowWindow returns an empty window.
func NewFlowWindow() *FlowWindow {
	return &FlowWindow{rows: map[record.FlowKey]*record.Netflow{}}
}

// Add merges the row into the window; the row belongs to the window then.
func (w *FlowWindow) Add(row *record.Netflow) {
	have := w.rows[row.FlowKey]
	if have == nil {
		w.rows[row.FlowKey] = row
		return
	}
	have.BytesRead += row.BytesRead
	have.BytesWritten += row.BytesWritten
	have.PacketsRead += row.PacketsRead
	have.PacketsWritten += row.PacketsWritten
	if have.TCPStats != nil && row.TCPStats != nil {
		addTCP(have.TCPStats, row.TCPStats)
	}
}

func addTCP(to, t *record.TCPStats) {
	to.Retransmits += t.Retransmits
	to.RTTSum += t.RTTSum
	to.RTTVarSum += t.RTTVarSum
	to.RTTCount += t.RTTCount
	to.Established += t.Established
	to.Closed += t.Closed
	to.ConnectFailed += t.ConnectFailed
	to.ConnectSum += t.ConnectSum
	to.ConnectCount += t.ConnectCount
}

// Len is the number of rows in the window.
func (w *FlowWindow) Len() int { return len(w.rows) }

// Flush takes all rows out, stamped with the time in Unix nanoseconds.
func (w *FlowWindow) Flush(now int64) []record.Record {
	out := make([]record.Record, 0, len(w.rows))
	for _, r := range w.rows {
		r.Time = now
		out = append(out, r)
	}
	clear(w.rows)
	return out
}
