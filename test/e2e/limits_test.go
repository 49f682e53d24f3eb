package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
	"weft/test/load/traffic"
)

// job is a generator at work.
type job struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func begin(t *testing.T, ns *netlab.Namespace, name string, args ...string) *job {
	t.Helper()
	j := &job{cmd: exec.Command(name, args...)}
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.out
	ns.Start(t, j.cmd)
	return j
}

// text waits for the end and returns what was printed.
func (j *job) text(t *testing.T) string {
	t.Helper()
	if err := j.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", j.cmd.Path, err, j.out.String())
	}
	return j.out.String()
}

// result is the last line that a generator of ours printed.
func (j *job) result(t *testing.T) (r traffic.Result) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(j.text(t)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%v: %s", err, lines)
	}
	if r.Failed > 0 {
		t.Errorf("%d operations failed, the first: %s", r.Failed, r.FirstError)
	}
	return r
}

// memory is what a collector takes, as the kernel tells others: resident memory
// without BPF maps that are mapped, plus its maps and programs.
func memory(t *testing.T, pid int) (process, kernel int64) {
	t.Helper()
	return resident(t, pid), objects(t, pid)
}

// resident adds Rss up over all mappings but those of BPF maps.
func resident(t *testing.T, pid int) (kib int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	skip := false
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if !strings.HasSuffix(words[0], ":") {
			skip = strings.Contains(line, "bpf-map")
		}
		if n, err := strconv.ParseInt(words[min(1, len(words)-1)], 10, 64); err == nil && words[0] == "Rss:" && !skip {
			kib += n
		}
	}
	return kib << 10
}

// objects adds up what the kernel accounts to BPF maps and programs.
func objects(t *testing.T, pid int) (sum int64) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may be closed meanwhile
		values := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			values[key] = strings.TrimSpace(value)
		}
		id := values["map_id"] + "/" + values["prog_id"]
		if values["memlock"] == "" || seen[id] {
			continue
		}
		seen[id] = true
		n, _ := strconv.ParseInt(values["memlock"], 10, 64)
		sum += n
	}
	return sum
}

// watchMemory samples until stop is closed and returns the largest total.
func watchMemory(t *testing.T, c *collector.Collector, stop <-chan struct{}) <-chan int64 {
	most := make(chan int64, 1)
	go func() {
		var max, last int64
		for began, said := time.Now(), time.Now(); ; {
			process, kernel := memory(t, c.Pid())
			if last = process + kernel; last > max {
				max = last
			}
			if time.Since(said) > 10*time.Second {
				said = time.Now()
				t.Logf("after %.0fs: %.1f MiB, process %.1f, kernel %.1f; most %.1f", time.Since(began).Seconds(),
					mebi(last), mebi(process), mebi(kernel), mebi(max))
			}
			select {
			case <-stop:
				most <- max
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	return most
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

// limitsTime is how long the load of TestMemoryLimit lasts.
func limitsTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("WEFT_LIMITS_TIME"))
	if err != nil {
		return 20 * time.Second
	}
	return d
}

// 24,000 open connections, new ones all the time, many HTTP paths, HTTP/2 at
// full speed and many DNS names: within 64 MiB, and netflow is exact. With
// WEFT_LIMITS_TIME=10m for as long.
func TestMemoryLimit(t *testing.T) {
	needs(t, "wrk", "nginx", "h2load", "nghttpd", "dnsmasq")
	const limit, idle, rate = 64 << 20, 12_000, 200
	load := limitsTime(t)
	p := netlab.NewPair(t)
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 65000")
	p.Client.Sysctl(t, "ipv4/tcp_tw_reuse", "1")
	startSite(t, p.Server)
	startDNS(t, p.Server)
	write(t, filepath.Join(t.TempDir(), "index.html"), "x")
	p.Server.Start(t, exec.Command("nghttpd", "--no-tls", "-d", t.TempDir(), "-a", netlab.ServerIP, "9003"))
	for _, port := range []string{"9301", "9311"} {
		begin(t, p.Server, generator, "tcp-server", "-listen", netlab.ServerIP+":"+port, "-limit", "1h")
		p.Server.AwaitListener(t, netlab.ServerIP+":"+port)
	}
	c := start(t, "--interval", "5s", "--mem-limit", "64MiB", "--limit-action", "degrade", "--ephemeral-port", "32768")
	stop := make(chan struct{})
	most := watchMemory(t, c, stop)

	seconds := strconv.Itoa(int(load.Seconds()))
	open := begin(t, p.Client, generator, "tcp-idle", "-to", netlab.ServerIP+":9311", "-n", strconv.Itoa(idle),
		"-hold", load.String(), "-limit", "1h")
	churn := begin(t, p.Client, generator, "tcp-churn", "-to", netlab.ServerIP+":9301", "-rate", strconv.Itoa(rate),
		"-n", strconv.Itoa(rate*int(load.Seconds())), "-limit", "1h")
	names := begin(t, p.Client, generator, "dns-client", "-to", dnsAddr, "-names", dnsNames, "-n", "100000000",
		"-limit", load.String(), "-workers", "2")
	h2 := begin(t, p.Client, "h2load", "-D", seconds, "-c", "10", "-m", "100", "-t", "1",
		"http://"+netlab.ServerIP+":9003/none")
	web := wrkLoad{connections: 8, depth: 1, requests: paths("/p%d", 30_000)}.run(t, p.Client, load)

	held, turned, asked := open.result(t), churn.result(t), names.result(t)
	h2.text(t)
	settle(t, p)
	losses, metrics := c.Losses(t), c.Metrics(t, "weft_limit")
	close(stop)
	max := <-most
	rows := c.Stop(t)
	t.Logf("at most %.1f of 64 MiB; %d HTTP/1 requests, %d connections, %d DNS queries", mebi(max), web.Requests,
		held.Connections+turned.Connections, asked.Ops)
	t.Logf("limits: %v\nlost: %v", metrics, losses)
	if max > limit {
		t.Errorf("%.1f MiB were in use, more than the limit", mebi(max))
	}
	exactTCP(t, of(p, rows, "server_port", "9311"), held)
	exactTCP(t, of(p, rows, "server_port", "9301"), turned)
	dns := of(p, rows, "server_port", "53", "transport", "udp")
	dns.sums(t, "packets_written", asked.SentPackets, asked.ReceivedPackets)
	dns.sums(t, "packets_read", asked.ReceivedPackets, asked.SentPackets)
}

// exactTCP compares both ends' rows with the client's own count.
func exactTCP(t *testing.T, e ends, r traffic.Result) {
	t.Helper()
	e.sums(t, "tcp_established", r.Connections, r.Connections)
	e.sums(t, "tcp_closed", r.Connections, r.Connections)
	e.sums(t, "bytes_written", r.SentBytes, r.ReceivedBytes)
	e.sums(t, "bytes_read", r.ReceivedBytes, r.SentBytes)
}
