package payload

import (
	"weft/ledger"
	"weft/probe"
)

// Now is the kernel's monotonic time in ns, as bpf_ktime_get_ns has it.
func Now() int64 { return probe.Monotonic() }

// meter carries the kernel's counters into the ledger.
type meter struct {
	s                         *Source
	requests, chunks, dns, tc *ledger.Stage
}

func newMeter(led *ledger.Ledger, s *Source) *meter {
	m := &meter{
		s: s, requests: led.Stage("payload.requests"), chunks: led.Stage("payload.chunks"),
		dns: led.Stage("payload.dns"), tc: led.Stage("payload.streams"),
	}
	for name, p := range s.k.coll.Programs {
		led.AddGauge(probe.Program{Name: name, Prog: p}.Gauges()...)
	}
	streams := func() (int, error) {
		return int(s.k.stat(bpfPayloadStatSTAT_STREAMS_ADDED) - s.k.stat(bpfPayloadStatSTAT_STREAMS_REMOVED)), nil
	}
	for name, count := range map[string]func() (int, error){
		bpfMapStreams: streams, bpfMapEarlies: nil, bpfMapVerdicts: nil, bpfMapSkips: nil,
	} {
		led.AddGauge(probe.Map{Name: name, Map: s.k.coll.Maps[name], Count: count}.Gauges()...)
	}
	for _, g := range []struct {
		name, help string
		which      bpfPayloadStat
	}{
		{"payload_duplicate_packets_total", "Packets that were sent again.", bpfPayloadStatSTAT_DUPLICATES},
		{"payload_gap_packets_total", "Packets that came ahead of others.", bpfPayloadStatSTAT_GAPS},
		{"payload_late_packets_total", "Packets that filled such a gap.", bpfPayloadStatSTAT_LATE},
		{"payload_orphan_responses_total", "HTTP/1 responses whose request was not seen.", bpfPayloadStatSTAT_ORPHANS},
		{"payload_resync_total", "HTTP/1 packets that should have begun a message and did not.", bpfPayloadStatSTAT_RESYNC},
		{"payload_contended_packets_total", "Packets that did not wait for the one before any longer.",
			bpfPayloadStatSTAT_CONTENDED},
		{"payload_http2_whole_packets_total", "Packets of HTTP/2 that were copied whole after others came out of order.",
			bpfPayloadStatSTAT_WHOLE},
	} {
		led.AddGauge(ledger.Gauge{Name: g.name, Help: g.help, Read: func() float64 { return float64(s.k.stat(g.which)) }})
	}
	return m
}

// update makes the sums: requests that the kernel took up were answered, ended
// unanswered, were handed over to user space, or wait.
func (m *meter) update() {
	k, r := m.s.k, m.s.rows
	lost := k.stat(bpfPayloadStatSTAT_ROW_LOST)
	m.requests.SetIn(r.exchanges + lost)
	m.requests.SetOut(r.exchanges - r.unnamed)
	m.requests.SetDropped("row_lost", lost)
	m.requests.SetDropped("row_unnamed", r.unnamed)

	full := k.stat(bpfPayloadStatSTAT_RING_FULL)
	sent := k.stat(bpfPayloadStatSTAT_CHUNKS)
	m.chunks.SetIn(sent + full)
	m.chunks.SetOut(sent)
	m.chunks.SetDropped("ring_full", full)
	m.chunks.SetDropped("ring_full_bytes", k.stat(bpfPayloadStatSTAT_RING_FULL_BYTES))

	dnsLost, dns := k.stat(bpfPayloadStatSTAT_DNS_LOST), k.stat(bpfPayloadStatSTAT_DNS)
	m.dns.SetIn(dns + dnsLost)
	m.dns.SetOut(dns)
	m.dns.SetDropped("ring_full", dnsLost)

	m.tc.SetIn(k.stat(bpfPayloadStatSTAT_STREAMS_ADDED))
	m.tc.SetOut(k.stat(bpfPayloadStatSTAT_STREAMS_REMOVED))
	m.tc.SetDropped("streams_full", k.stat(bpfPayloadStatSTAT_STREAMS_FULL))
	m.tc.SetDropped("streams_stale", k.stat(bpfPayloadStatSTAT_STREAMS_STALE))
	m.tc.SetDropped("early_lost", k.stat(bpfPayloadStatSTAT_EARLY_LOST))
	m.tc.SetDropped("shed_packets", k.stat(bpfPayloadStatSTAT_SHED))
	m.tc.SetDropped("headers", k.stat(bpfPayloadStatSTAT_HEADERS))
}
