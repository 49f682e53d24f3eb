package aggregate

import (
	"fmt"
	"testing"

	"weft/record"
)

func query(name, qtype string, rcode int, latency int64) *record.Dnsflow {
	r := &record.Dnsflow{
		DNSKey: record.DNSKey{FlowKey: row(53, 0, 0, 0).FlowKey, Rcode: rcode, Query: name, QType: qtype},
		Count:  1, Answers: 2, Retries: 1, Truncated: 1,
	}
	if rcode != record.RcodeTimeout {
		r.LatencySum, r.LatencyMax, r.LatencyCount = latency, latency, 1
	}
	return r
}

func TestDNSWindowMergesByKey(t *testing.T) {
	w := NewDNSWindow(DNSOptions{Names: true})
	w.Add(query("a.example", "A", 0, 100))
	w.Add(query("a.example", "A", 0, 50))
	w.Add(query("a.example", "AAAA", 0, 1))
	w.Add(query("a.example", "A", 3, 1))
	w.Add(query("a.example", "A", record.RcodeTimeout, 0))
	if w.Len() != 4 {
		t.Fatalf("%d rows, want 4", w.Len())
	}
	for _, r := range w.Flush(42) {
		d := r.(*record.Dnsflow)
		if d.Time != 42 {
			t.Errorf("time %d", d.Time)
		}
		first := d.QType == "A" && d.Rcode == 0
		if first && (d.Count != 2 || d.LatencySum != 150 || d.LatencyMax != 100 || d.LatencyCount != 2 ||
			d.Answers != 4 || d.Retries != 2 || d.Truncated != 2) || !first && d.Count != 1 {
			t.Errorf("not merged: %+v", d)
		}
	}
	if w.Len() != 0 {
		t.Error("flush left rows behind")
	}
}

func TestDNSWindowWithoutNames(t *testing.T) {
	w := NewDNSWindow(DNSOptions{})
	w.Add(query("a.example", "A", 0, 1))
	w.Add(query("b.example", "TXT", 0, 2))
	rows := w.Flush(1)
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	d := rows[0].(*record.Dnsflow)
	if d.Count != 2 || d.Query != "" || d.QType != "" || d.LatencyMax != 2 {
		t.Errorf("%+v", d)
	}
}

// Random names, as in an attack on a resolver, keep their sums by rcode.
func TestDNSWindowOverflowKeepsTotals(t *testing.T) {
	const n = 3000
	w := NewDNSWindow(DNSOptions{MaxRows: 20, Names: true})
	for i := range n {
		r := query(fmt.Sprint(i, ".example"), fmt.Sprint("TYPE", i%500), []int{0, 3, -1}[i%3], int64(i))
		r.PID = uint32(i % 70)
		w.Add(r)
	}
	if w.Len() > 3*20+3 || w.Overflowed() != n-20 {
		t.Errorf("%d rows, %d overflowed", w.Len(), w.Overflowed())
	}
	count := map[int]int64{}
	var latency, latencies, answers, longest int64
	for _, r := range w.Flush(1) {
		d := r.(*record.Dnsflow)
		count[d.Rcode] += d.Count
		latency += d.LatencySum
		latencies += d.LatencyCount
		answers += d.Answers
		longest = max(longest, d.LatencyMax)
	}
	var sum int64
	for i := range n {
		if i%3 != 2 {
			sum += int64(i)
		}
	}
	if count[0] != n/3 || count[3] != n/3 || count[-1] != n/3 || latency != sum || latencies != n*2/3 ||
		answers != 2*n || longest != n-2 {
		t.Errorf("%v, latency %d of %d, answers %d, longest %d", count, latency, latencies, answers, longest)
	}
}
