package aggregate

import "weft/record"

// DNSOptions configures a DNSWindow.
type DNSOptions struct {
	// MaxRows is how many different rows an interval holds before names become
	// {overflow}; 0 for no bound. Beyond it is as in HTTPOptions.
	MaxRows int
	// Names keeps the asked name and type in the key.
	Names bool
}

// DNSWindow merges dnsflow rows of one interval by their key. It is used by one
// goroutine at a time.
type DNSWindow struct {
	rows  *limited[record.DNSKey, record.Dnsflow]
	names bool
}

// NewDNSWindow returns an empty window.
func NewDNSWindow(opt DNSOptions) *DNSWindow {
	key := func(r *record.Dnsflow) *record.DNSKey { return &r.DNSKey }
	return &DNSWindow{
		rows:  newLimited(opt.MaxRows, key, mergeDNS, dnsName, dnsProcess, dnsHost),
		names: opt.Names,
	}
}

// Add merges the row into the window, which may change its key and does not
// keep it.
func (w *DNSWindow) Add(row *record.Dnsflow) {
	if !w.names {
		row.Query, row.QType = "", ""
	}
	w.rows.add(row)
}

// Len is the number of rows in the window.
func (w *DNSWindow) Len() int { return len(w.rows.rows) }

// Overflowed is how many added rows lost their name to the bound so far.
func (w *DNSWindow) Overflowed() int64 { return w.rows.overflowed }

// Flush takes all rows out, stamped with the time in Unix nanoseconds.
func (w *DNSWindow) Flush(now int64) []record.Record {
	return w.rows.flush(func(r *record.Dnsflow) record.Record {
		r.Time = now
		return r
	})
}

func mergeDNS(have, row *record.Dnsflow) {
	have.Count += row.Count
	have.LatencySum += row.LatencySum
	have.LatencyCount += row.LatencyCount
	have.LatencyMax = max(have.LatencyMax, row.LatencyMax)
	have.Answers += row.Answers
	have.Retries += row.Retries
	have.Truncated += row.Truncated
}

// dnsName is the overflow row of a flow.
func dnsName(k record.DNSKey) record.DNSKey {
	k.Query = overflow
	return k
}

// dnsProcess is the overflow row of a process. The rcode stays, because any
// other would be wrong.
func dnsProcess(k record.DNSKey) record.DNSKey {
	return record.DNSKey{FlowKey: process(k.FlowKey), Rcode: k.Rcode, Query: overflow}
}

func dnsHost(k record.DNSKey) record.DNSKey {
	k.FlowKey = host(k.FlowKey)
	return k
}
