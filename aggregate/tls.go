package aggregate

import "weft/record"

// TLSWindow merges tlsflow rows of one interval by their key. It is used by one
// goroutine at a time.
type TLSWindow struct {
	rows *limited[record.TLSKey, record.Tlsflow]
}

// NewTLSWindow returns an empty window that holds maxRows different rows before
// names become {overflow}, as in HTTPOptions.
func NewTLSWindow(maxRows int) *TLSWindow {
	key := func(r *record.Tlsflow) *record.TLSKey { return &r.TLSKey }
	return &TLSWindow{rows: newLimited(maxRows, key, mergeTLS, tlsName, tlsProcess, tlsHost)}
}

// Add merges the row into the window, which may change its key and does not
// keep it.
func (w *TLSWindow) Add(row *record.Tlsflow) { w.rows.add(row) }

// Len is the number of rows in the window.
func (w *TLSWindow) Len() int { return len(w.rows.rows) }

// Flush takes all rows out, stamped with the time in Unix nanoseconds.
func (w *TLSWindow) Flush(now int64) []record.Record {
	return w.rows.flush(func(r *record.Tlsflow) record.Record {
		r.Time = now
		return r
	})
}

func mergeTLS(have, row *record.Tlsflow) { have.Count += row.Count }

// tlsName is the overflow row of a flow.
func tlsName(k record.TLSKey) record.TLSKey {
	return record.TLSKey{FlowKey: k.FlowKey, SNI: overflow}
}

func tlsProcess(k record.TLSKey) record.TLSKey {
	return record.TLSKey{FlowKey: process(k.FlowKey), SNI: overflow}
}

func tlsHost(k record.TLSKey) record.TLSKey {
	k.FlowKey = host(k.FlowKey)
	return k
}
