package web

import (
	"math"
	"strings"
	"testing"

	"weft/ledger"
)

func TestMetrics(t *testing.T) {
	l := ledger.New()
	s := l.Stage("netflow")
	s.In(5)
	s.Out(3)
	s.Drop("queue_full", 2)
	value := func(v float64) func() float64 { return func() float64 { return v } }
	l.AddGauge(
		ledger.Gauge{Name: "bpf_map_entries", Help: "Entries.", Labels: []string{"map", "socks"}, Read: value(7)},
		ledger.Gauge{Name: "bpf_map_entries", Help: "Entries.", Labels: []string{"map", "udp"}, Read: value(8)},
		ledger.Gauge{Name: "bpf_program_runs_total", Help: "Runs.", Labels: []string{"program", "x"}, Read: value(9)},
		ledger.Gauge{Name: "unknown", Help: "Not known here.", Read: value(math.NaN())},
		ledger.Gauge{Name: "odd", Help: "Odd labels.", Labels: []string{"map"}, Read: value(1)},
		ledger.Gauge{Name: "plain", Help: "No labels.", Read: value(1.5)},
	)
	_, url := start(t, Options{Ledger: l, Version: "1.2.3"})
	res, body := get(t, url+"/metrics", "")
	if res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	for _, want := range []string{
		"# TYPE weft_stage_in_total counter",
		`weft_stage_in_total{stage="netflow"} 5`,
		`weft_stage_out_total{stage="netflow"} 3`,
		`weft_stage_dropped_total{reason="queue_full",stage="netflow"} 2`,
		"# TYPE weft_bpf_map_entries gauge",
		`weft_bpf_map_entries{map="socks"} 7`,
		`weft_bpf_map_entries{map="udp"} 8`,
		"# TYPE weft_bpf_program_runs_total counter",
		`weft_bpf_program_runs_total{program="x"} 9`,
		"weft_plain 1.5",
		`version="1.2.3"`,
		"go_goroutines ",
		"process_resident_memory_bytes ",
		"promhttp_metric_handler_errors_total",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("missing %q", want)
		}
	}
	for _, no := range []string{"weft_unknown", "weft_odd"} {
		if strings.Contains(body, no) {
			t.Errorf("unexpected %q", no)
		}
	}
	// Counters added after the start show at the next scrape.
	l.Stage("late").In(1)
	if _, body := get(t, url+"/metrics", ""); !strings.Contains(body, `weft_stage_in_total{stage="late"} 1`) {
		t.Error("a stage added later is missing")
	}
}
