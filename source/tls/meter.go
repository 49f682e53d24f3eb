package tls

import (
	"weft/ledger"
	"weft/probe"
)

// meter carries the kernel's counters into the ledger.
type meter struct {
	k      *kernel
	events *ledger.Stage
}

func newMeter(led *ledger.Ledger, s *Source) *meter {
	for name, p := range s.k.functions {
		led.AddGauge(probe.Program{Name: name, Prog: p}.Gauges()...)
	}
	for _, name := range []string{"procs", "objects", "calls", "prints", "tls_skips"} {
		led.AddGauge(probe.Map{Name: name, Map: s.k.base.Maps[name]}.Gauges()...)
	}
	led.AddGauge(ledger.Gauge{
		Name: "tls_processes", Help: "Processes that use TLS and whose plaintext is read.",
		Read: func() float64 {
			n := 0.0
			for _, p := range s.Processes() {
				if p.Attached {
					n++
				}
			}
			return n
		},
	})
	led.AddGauge(ledger.Gauge{
		Name: "tls_files", Help: "Programs and libraries that have TLS probes.",
		Read: func() float64 { return float64(s.found.files.probed.Load()) },
	}, ledger.Gauge{
		Name: "tls_skipped_bytes_total", Help: "Bytes of bodies inside TLS that nobody needed and that were not copied.",
		Read: func() float64 { return float64(s.k.stat(bpfTlsStatSTAT_SKIPPED)) },
	})
	return &meter{k: s.k, events: led.Stage("tls.events")}
}

func (m *meter) update() {
	taken, full := m.k.stat(bpfTlsStatSTAT_TAKEN), m.k.stat(bpfTlsStatSTAT_RING_FULL)
	m.events.SetIn(taken)
	m.events.SetOut(taken - full)
	for reason, which := range map[string]bpfTlsStat{
		"ring_full":    bpfTlsStatSTAT_RING_FULL,
		"ring_bytes":   bpfTlsStatSTAT_RING_BYTES,
		"copy_failed":  bpfTlsStatSTAT_COPY_FAILED,
		"calls_full":   bpfTlsStatSTAT_CALLS_FULL,
		"objects_full": bpfTlsStatSTAT_OBJECTS_FULL,
		"sock_unknown": bpfTlsStatSTAT_SOCK_UNKNOWN,
		"lives_full":   bpfTlsStatSTAT_LIVES_FULL,
		"shortened":    bpfTlsStatSTAT_SHORTENED,
		"short_bytes":  bpfTlsStatSTAT_SHORT_BYTES,
		"http2_lost":   bpfTlsStatSTAT_H2LOST,
	} {
		m.events.SetDropped(reason, m.k.stat(which))
	}
}
