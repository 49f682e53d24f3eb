package e2e

import (
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// Connections are kept at the rate, the same ones at both ends and with all
// their rows, and totals that are scaled by it are the load's.
func TestSamplingRate(t *testing.T) {
	needs(t)
	const n, size, rate = 5000, 100, 0.4
	p := netlab.NewPair(t)
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 32767")
	begin(t, p.Server, generator, "tcp-server", "-listen", netlab.ServerIP+":9301", "-limit", "1h")
	p.Server.AwaitListener(t, netlab.ServerIP+":9301")
	c := start(t, "--interval", "1s", "--ephemeral-port", "32768", "--sampling-rate", "0.4")
	r := begin(t, p.Client, generator, "tcp-churn", "-to", netlab.ServerIP+":9301", "-n", strconv.Itoa(n),
		"-rate", "2000", "-size", strconv.Itoa(size)).result(t)
	settle(t, p)
	time.Sleep(1500 * time.Millisecond) // counters are as of the last interval
	dropped := c.Metrics(t, "sampled_out")
	e := of(p, c.Stop(t), "server_port", "9301")
	client, server := portsOf(e.client), portsOf(e.server)
	for port, rows := range client {
		if server[port] == 0 || rows == 0 {
			t.Errorf("the connection from port %s is kept at the client's end only", port)
		}
	}
	equal(t, "connections kept at the server's end", len(server), len(client))
	near(t, "connections kept", float64(len(client)), n*rate, 3*math.Sqrt(n*rate*(1-rate)))
	tolerance := 3 * math.Sqrt(n*(1-rate)/rate)
	near(t, "scaled connections", float64(e.client.Sum("tcp_closed"))/rate, float64(r.Connections), tolerance)
	near(t, "scaled bytes", float64(e.server.Sum("bytes_read"))/rate, float64(r.SentBytes), size*tolerance)
	equal(t, "rows that carry the rate", len(e.client.Where("sampling_rate", "0.4")), len(e.client))
	if len(dropped) == 0 {
		t.Error("what was left out is not counted")
	}
}

func portsOf(rows collector.Rows) map[string]int {
	ports := map[string]int{}
	for _, r := range rows {
		ports[r.Tags["client_port"]]++
	}
	return ports
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: got %.0f, want %.0f within %.0f", what, got, want, tolerance)
	}
}

// About as many points as asked for leave, from the first minute on, and their
// rates scale the totals back.
func TestSamplingPerMinute(t *testing.T) {
	needs(t)
	const n, perMinute = 8000, 3000
	p := netlab.NewPair(t)
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 32767")
	begin(t, p.Server, generator, "tcp-server", "-listen", netlab.ServerIP+":9301", "-limit", "1h")
	p.Server.AwaitListener(t, netlab.ServerIP+":9301")
	c := start(t, "--interval", "1s", "--ephemeral-port", "32768", "--sampling-rate-ptsperminute", strconv.Itoa(perMinute))
	r := begin(t, p.Client, generator, "tcp-churn", "-to", netlab.ServerIP+":9301", "-n", strconv.Itoa(n),
		"-rate", "800").result(t)
	settle(t, p)
	rows := c.Stop(t)
	// Less than a minute has passed, so it may not be more than the limit by much.
	if len(rows) > perMinute*3/2 {
		t.Errorf("%d points left, the limit is %d a minute", len(rows), perMinute)
	}
	e := of(p, rows, "server_port", "9301")
	scaled := 0.0
	for _, row := range e.client {
		rate := 1.0
		if text := row.Text("sampling_rate"); text != "" {
			rate, _ = strconv.ParseFloat(text, 64)
		}
		scaled += float64(row.Field("tcp_closed")) / rate
	}
	t.Logf("%d points, %.0f connections by their scaled rows, %d by the load", len(rows), scaled, r.Connections)
	// The rate is some 3%: a standard deviation is about 6% of the total.
	near(t, "scaled connections", scaled, float64(r.Connections), 0.3*float64(r.Connections))
}

// The profiler has an address of its own, only when a port is given.
func TestPprof(t *testing.T) {
	needs(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	taken := collector.New(t, binary, "--pprof-port", port)
	equal(t, "exit status with a port that is taken", taken.Run(t), 1)
	if !strings.Contains(taken.Stderr(), "127.0.0.1:"+port) || strings.Count(taken.Stderr(), "\n") > 3 {
		t.Errorf("a port that is taken: %s", taken.Stderr())
	}
	l.Close()
	bad := collector.New(t, binary, "--pprof-host", "no.such.host.invalid", "--pprof-port", port)
	equal(t, "exit status with a bad host", bad.Run(t), 1)
	if !strings.Contains(bad.Stderr(), "no.such.host.invalid:"+port) {
		t.Errorf("a bad host: %s", bad.Stderr())
	}
	c := start(t, "--pprof-port", port)
	res, err := http.Get("http://127.0.0.1:" + port + "/debug/pprof/profile?seconds=2")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	profile, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || !strings.HasPrefix(string(profile), "\x1f\x8b") {
		t.Errorf("a CPU profile: %d %v %.100q", res.StatusCode, err, profile)
	}
	if status, _ := c.Get(t, "/debug/pprof/"); status != 404 {
		t.Errorf("the main address serves the profiler: %d", status)
	}
	c.Stop(t)
}
