package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// SIGHUP changes whose requests are kept; flows are kept of all.
func TestSIGHUPSelection(t *testing.T) {
	needs(t, "wrk", "nginx")
	p := netlab.NewPair(t)
	startSite(t, p.Server)
	conf := filepath.Join(t.TempDir(), "ebpf.conf")
	write(t, conf, "[[inputs.ebpf]]\ninterval = \"1s\"\nprocess_deny = [\"name:wrk*\"]\n")
	c := start(t, "--config", conf)
	load := wrkLoad{connections: 4, depth: 1, requests: small}
	first := load.run(t, p.Client, time.Second)
	settle(t, p)
	rows := c.Await(t, 10*time.Second, func(rs collector.Rows) bool {
		return measured("httpflow", p, rs).server.Sum("count") >= first.Requests && of(p, rs).client.Sum("tcp_closed") >= 4
	})
	equal(t, "nginx's requests", measured("httpflow", p, rows).server.Sum("count"), first.Requests)
	equal(t, "httpflow rows of wrk that is denied", len(measured("httpflow", p, rows).client), 0)
	flows := of(p, rows, "process_name", "wrk", "server_port", "9000").client
	equal(t, "bytes that wrk read, of netflow", flows.Sum("bytes_read"), first.Bytes)

	write(t, conf, "[[inputs.ebpf]]\ninterval = \"1s\"\n")
	c.Signal(t, syscall.SIGHUP)
	time.Sleep(time.Second) // what is said during the change may be of either kind
	second := load.run(t, p.Client, time.Second)
	settle(t, p)
	losses := c.Losses(t)
	rows = c.Stop(t)
	client := measured("httpflow", p, rows).client
	equal(t, "wrk's requests", client.Where("process_name", "wrk").Sum("count"), second.Requests)
	if t.Failed() {
		t.Logf("requests by process and status: %v\nlost: %v", client.SumBy("count", "process_name", "status_code"), losses)
	}
	equal(t, "nginx's requests", measured("httpflow", p, rows).server.Sum("count"), first.Requests+second.Requests)
	flows = of(p, rows, "process_name", "wrk", "server_port", "9000").client
	equal(t, "bytes that wrk read, of netflow", flows.Sum("bytes_read"), first.Bytes+second.Bytes)
}

// paths is Lua for n different paths.
func paths(format string, n int) string {
	return fmt.Sprintf(`for i = 1, %d do r[i] = wrk.format("GET", string.format(%q, i)) end`, n, format)
}

// Too many paths for an interval: what is left over has a row of its own, and
// all totals are right.
func TestManyPaths(t *testing.T) {
	needs(t, "wrk", "nginx")
	const different, most = 30_000, 1000
	p := netlab.NewPair(t)
	dir := startSite(t, p.Server)
	c := start(t, "--l7-max-rows", strconv.Itoa(most)) // one interval for all
	w := wrkLoad{connections: 8, depth: 1, requests: paths("/p%d", different)}
	report := w.run(t, p.Client, max(3*time.Second, loadTime(t)))
	settle(t, p)
	log := readLog(t, filepath.Join(dir, "access.log"))
	losses := c.Losses(t)
	rows := c.Stop(t)
	e := measured("httpflow", p, rows)
	if len(log.requests) < different/2 {
		t.Fatalf("only %d different paths in %d requests", len(log.requests), report.Requests)
	}
	e.sums(t, "count", report.Requests, report.Requests)
	e.sums(t, "bytes_read", report.Bytes, log.received)
	e.sums(t, "bytes_written", log.received, log.sent)
	for name, end := range map[string]collector.Rows{"client": e.client, "server": e.server} {
		over := end.Where("path", "{overflow}")
		equal(t, "overflow rows of the "+name, len(over), 1)
		// What fits is exact.
		for key, n := range end.SumBy("count", "status_code", "path") {
			if want := log.requests[key]; n != want && key != "404 {overflow}" {
				t.Errorf("%s's requests of %q: got %d, want %d", name, key, n, want)
			}
		}
	}
	if all := len(rows.Where("source", "httpflow")); all > most+20 {
		t.Errorf("%d httpflow rows in one interval, more than l7_max_rows", all)
	}
	if t.Failed() {
		t.Logf("what it counted as lost: %v", losses)
	}
}

// With templates the same paths are one.
func TestPathTemplates(t *testing.T) {
	needs(t, "wrk", "nginx")
	p := netlab.NewPair(t)
	startSite(t, p.Server)
	c := start(t, "--l7-path-template", "--interval", "1s")
	report := wrkLoad{connections: 8, depth: 1, requests: paths("/users/%d/orders", 30_000)}.run(t, p.Client, loadTime(t))
	settle(t, p)
	e := measured("httpflow", p, c.Stop(t))
	want := map[string]int64{"404 /users/{id}/orders": report.Requests}
	equalCounts(t, "wrk's requests", e.client.SumBy("count", "status_code", "path"), want)
	equalCounts(t, "nginx's requests", e.server.SumBy("count", "status_code", "path"), want)
}

// Far more than the ring takes: no request too many and none of a wrong status,
// and where some are missing, requests and chunks are counted as lost.
func TestOverload(t *testing.T) {
	needs(t, "wrk", "nginx")
	for name, w := range map[string]wrkLoad{
		"pipelined":    {connections: 64, depth: 64, requests: small},
		"large bodies": {connections: 16, depth: 12, requests: mixed},
	} {
		t.Run(name, func(t *testing.T) {
			p := netlab.NewPair(t)
			dir := startSite(t, p.Server)
			c := start(t, "--interval", "1s", "--l7-ring-size", "1")
			report := w.run(t, p.Client, loadTime(t))
			settle(t, p)
			log := readLog(t, filepath.Join(dir, "access.log"))
			time.Sleep(1500 * time.Millisecond) // counters are as of the last interval
			losses := c.Losses(t)
			missing := 2 * report.Requests
			e := measured("httpflow", p, c.Stop(t))
			for name, end := range map[string]collector.Rows{"client": e.client, "server": e.server} {
				got := end.SumBy("count", "status_code", "path")
				var emitted int64
				for key, n := range got {
					emitted += n
					if n > log.requests[key] {
						t.Errorf("%s's requests of %q: got %d, more than the %d there were", name, key, n, log.requests[key])
					}
				}
				t.Logf("%s: %d of %d requests", name, emitted, report.Requests)
				missing -= emitted
			}
			t.Logf("lost: %v", losses)
			lost := losses["weft_l7_dropped_requests_total"]
			full := losses[`weft_stage_dropped_total{reason="ring_full",stage="payload.chunks"}`]
			if missing > 0 && (lost == 0 || full == 0) {
				t.Errorf("%d requests are missing, %g are counted as lost", missing, lost)
			}
			t.Logf("%d missing on both sides, %g counted as lost", missing, lost)
		})
	}
}
