package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPairUp(t *testing.T) {
	s := func(cpu, collector float64) sample {
		return sample{outcome: outcome{ops: 1e6, wall: 1}, client: cpu / 2, server: cpu / 2, collector: collector}
	}
	r := pairUp(httpKeepAlive(), []sample{s(10, 0), s(20, 0)}, []sample{s(11, 1), s(20, 2)})
	if got := r.Load.list(); got != "1.100 1.000" {
		t.Errorf("load: %s", got)
	}
	if got := r.Total.list(); got != "1.200 1.100" {
		t.Errorf("total: %s", got)
	}
	if got := r.Control.list(); got != "2.000" {
		t.Errorf("control: %s", got)
	}
	if math.Abs(r.CPUWithout-15) > 1e-9 || r.RateWith != 1e6 {
		t.Errorf("%+v", r)
	}
	if m := (ratios{2, 0.5}).mean(); math.Abs(m-1) > 1e-9 {
		t.Errorf("geometric mean: %v", m)
	}
}

func TestLowQuartile(t *testing.T) {
	if got := lowQuartile([]float64{400, 100, 300, 200}); got != 200 {
		t.Errorf("%v", got)
	}
	if got := lowQuartile(nil); got != 0 {
		t.Errorf("%v", got)
	}
}

func someReport() *report {
	return &report{Args: []string{"-reps", "1", "-doc", ""}, Workloads: []workloadResult{{
		Name: "churn", Unit: "1M", Paired: pairedResult{Load: ratios{1}, Total: ratios{1.02}, Control: ratios{1}},
		Account: accountResult{Ops: 1e5, Programs: []programCost{{Name: "state", Runs: 1e6, RunsPerOp: 10}},
			Compared: []comparison{
				{End: "client", Figure: established, Counted: 99999, Low: 100000, High: 100000},
				{End: "client", Figure: bytesRead, Counted: 6400000, Low: 6399000, High: 6401000},
				{End: "server", Figure: closed, Counted: 100000, Low: 100000, High: 100000},
			}},
	}}}
}

func TestReportSaysWhatDiffers(t *testing.T) {
	text := someReport().markdown()
	for _, want := range []string{
		"go run ./test/bench -reps 1 -doc ''",
		"**1 of 3 figures differ**",
		"| churn | client | **99,999, expected 100,000** |  |  | 6,400,000 (6,399,000 to 6,401,000) |",
		"| churn | server |  | 100,000 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	err := someReport().verdict()
	if err == nil || err.Error() != "churn: NOT EXACT: client tcp_established: counted 99,999, expected 100,000" {
		t.Errorf("verdict: %v", err)
	}
}

func TestRewriteReplacesBetweenTheMarkers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("head\n"+beginMarker+"old\n"+endMarker+"\ntail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := rewrite(path, "new"); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	if want := "head\n" + beginMarker + "\nnew\n" + endMarker + "\ntail\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.WriteFile(path, []byte("no markers"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "new"); err == nil {
		t.Error("a document without markers was rewritten")
	}
}

func TestAppendJSONIsALineEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "bench.jsonl")
	for range 2 {
		if err := someReport().appendJSON(path); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	if lines := strings.Count(string(got), "\n"); lines != 2 {
		t.Errorf("%d lines", lines)
	}
}

func TestGroup(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := group(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestUnknownWorkloadIsRefused(t *testing.T) {
	if _, err := parse([]string{"-workloads", "http_ka,nosuch"}); err == nil || !strings.Contains(err.Error(), "idle50k") {
		t.Errorf("%v", err)
	}
}
