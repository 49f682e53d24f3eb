package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

func TestDoctor(t *testing.T) {
	needs(t)
	text, err := exec.Command(binary, "doctor").Output()
	if err != nil {
		t.Errorf("doctor: %v", err)
	}
	for _, want := range []string{"tcp", "udp", "BTF", "lockdown", "cgroup"} {
		if !strings.Contains(strings.ToLower(string(text)), strings.ToLower(want)) {
			t.Errorf("does not speak of %s:\n%s", want, text)
		}
	}
	out, err := exec.Command(binary, "doctor", "--json").Output()
	if err != nil {
		t.Errorf("doctor --json: %v", err)
	}
	var report struct {
		Capabilities []struct{ Name, Feature, Door string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("doctor --json: %v\n%s", err, out)
	}
	doors := 0
	for _, c := range report.Capabilities {
		if c.Door != "" {
			doors++
		}
	}
	if doors < 2 {
		t.Errorf("%d capabilities have a door, want TCP and UDP at least: %s", doors, out)
	}
}

// /healthz says ok, and /metrics accounts for every row: what a stage took in
// it gave on or dropped.
func TestHealthAndMetrics(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	c := start(t, "--interval", "1s")
	conn := p.Client.Dial(t, "tcp", serverAddr)
	converse(t, conn, 10)
	conn.Close()
	c.Await(t, 10*time.Second, func(rs collector.Rows) bool { return of(p, rs).server.Sum("tcp_closed") == 1 })

	status, body := c.Get(t, "/healthz")
	equal(t, "/healthz", status, 200)
	var health struct{ Status string }
	if err := json.Unmarshal([]byte(body), &health); err != nil || health.Status != "ok" {
		t.Errorf("/healthz: %v: %s", err, body)
	}
	status, body = c.Get(t, "/metrics")
	equal(t, "/metrics", status, 200)
	checkLedger(t, body)
	for _, want := range []string{"weft_build_info{", "weft_bpf_map_", "process_resident_memory_bytes"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// checkLedger reads Prometheus text and balances every stage.
func checkLedger(t *testing.T, metrics string) {
	t.Helper()
	balance := map[string]float64{}
	sign := map[string]float64{"weft_stage_in_total": 1, "weft_stage_out_total": -1, "weft_stage_dropped_total": -1}
	for lines := bufio.NewScanner(strings.NewReader(metrics)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), "{")
		if sign[name] == 0 {
			continue
		}
		_, stage, _ := strings.Cut(rest, `stage="`)
		stage, _, _ = strings.Cut(stage, `"`)
		var value float64
		if _, err := fmt.Sscan(rest[strings.LastIndex(rest, "}")+1:], &value); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		balance[stage] += sign[name] * value
	}
	if len(balance) < 3 {
		t.Errorf("only %d stages: %v", len(balance), balance)
	}
	for stage, left := range balance {
		if left != 0 {
			t.Errorf("stage %s: in - out - dropped = %v", stage, left)
		}
	}
}

// Commands whose feature comes later say so.
func TestLaterCommands(t *testing.T) {
	for _, name := range []string{"replay", "link", "top", "query"} {
		out, err := exec.Command(binary, name).CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 2 || len(out) == 0 {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}
