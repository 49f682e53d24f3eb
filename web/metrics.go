package web

import (
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weft/ledger"
)

// prefix of every metric that is ours.
const prefix = "weft_"

// metricsHandler serves the ledger, the Go runtime and the process from a
// registry of its own, so that a library cannot add metrics behind our back.
func metricsHandler(o Options) (http.Handler, error) {
	reg := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newLedgerCollector(o.Ledger),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(o.Version),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	// One bad gauge must not hide all the others.
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            reg,
		MaxRequestsInFlight: 4,
	}), nil
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        prefix + "build_info",
		Help:        "Constant 1; the labels name the running build.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version(), "goarch": runtime.GOARCH},
	})
	g.Set(1)
	return g
}

// ledgerCollector shows a ledger as it is at the moment of the scrape.
type ledgerCollector struct {
	ledger           *ledger.Ledger
	in, out, dropped *prometheus.Desc
}

func newLedgerCollector(l *ledger.Ledger) *ledgerCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return &ledgerCollector{
		ledger:  l,
		in:      desc("stage_in_total", "Items a stage took in.", "stage"),
		out:     desc("stage_out_total", "Items a stage gave to the next one.", "stage"),
		dropped: desc("stage_dropped_total", "Items a stage dropped, by reason.", "stage", "reason"),
	}
}

// Describe sends nothing: gauges are added while the agent runs, so the
// registry is to check each scrape and not the set of metrics.
func (c *ledgerCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for _, s := range c.ledger.Snapshot() {
		counter(c.in, s.In, s.Stage)
		counter(c.out, s.Out, s.Stage)
		for reason, n := range s.Dropped {
			counter(c.dropped, n, s.Stage, reason)
		}
	}
	for _, g := range c.ledger.Gauges() {
		if m := gaugeMetric(g); m != nil {
			ch <- m
		}
	}
}

// gaugeMetric reads one gauge. NaN means "not known on this kernel" and gives
// no metric at all, which is more honest than a 0.
func gaugeMetric(g ledger.Gauge) prometheus.Metric {
	v := g.Read()
	if math.IsNaN(v) {
		return nil
	}
	var names, values []string
	for i := 0; i+1 < len(g.Labels); i += 2 {
		names, values = append(names, g.Labels[i]), append(values, g.Labels[i+1])
	}
	desc := prometheus.NewDesc(prefix+g.Name, g.Help, names, nil)
	if len(g.Labels)%2 != 0 {
		return prometheus.NewInvalidMetric(desc, fmt.Errorf("gauge %s: labels do not come in pairs", g.Name))
	}
	kind := prometheus.GaugeValue
	if strings.HasSuffix(g.Name, "_total") {
		kind = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(desc, kind, v, values...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, fmt.Errorf("gauge %s: %w", g.Name, err))
	}
	return m
}
