package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/fakedatakit"
	"weft/test/e2e/netlab"
	"weft/test/load/traffic"
)

// job is a generator at work.
type job struct {
	cmd *exec.Cmd
	out output
}

// output is what a process prints, which may be read while it does.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is what was printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
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

// ready waits for what a generator says when it holds on.
func (j *job) ready(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(j.out.String(), `"ready":true`); {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %s", j.cmd.Path, j.out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
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
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "32768 65000") // collapsed
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
	open.ready(t)
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 32767") // a row for each connection
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
	exactTCP(t, "held", of(p, rows, "server_port", "9311"), held)
	exactTCP(t, "turned", of(p, rows, "server_port", "9301"), turned)
	dns := of(p, rows, "server_port", "53", "transport", "udp")
	for what, sums := range map[string][2]int64{
		"queries sent":     {dns.client.Sum("packets_written"), asked.SentPackets},
		"queries taken":    {dns.server.Sum("packets_read"), asked.SentPackets},
		"answers sent":     {dns.server.Sum("packets_written"), asked.ReceivedPackets},
		"answers received": {dns.client.Sum("packets_read"), asked.ReceivedPackets},
	} {
		equal(t, "DNS "+what, sums[0], sums[1])
	}
}

// exactTCP compares both ends' rows with the client's own count.
func exactTCP(t *testing.T, name string, e ends, r traffic.Result) {
	t.Helper()
	for field, want := range map[string][2]int64{
		"tcp_established": {r.Connections, r.Connections}, "tcp_closed": {r.Connections, r.Connections},
		"bytes_written": {r.SentBytes, r.ReceivedBytes}, "bytes_read": {r.ReceivedBytes, r.SentBytes},
	} {
		equal(t, name+", client's "+field, e.client.Sum(field), want[0])
		equal(t, name+", server's "+field, e.server.Sum(field), want[1])
	}
}

// exits runs a collector under a load until it ends by itself, which must be
// with status 3 and a word about the limit; everything it counted comes out.
func exits(t *testing.T, says string, load func(netlab.Pair, *collector.Collector), args ...string) {
	t.Helper()
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	c := start(t, args...) // the interval is longer than the test
	conn := p.Client.Dial(t, "tcp", serverAddr)
	converse(t, conn, 1234)
	conn.Close()
	load(p, c)
	status := c.EndsItself(t, 60*time.Second)
	equal(t, "exit status", status, 3)
	if !strings.Contains(c.Stderr(), says) {
		t.Errorf("does not say %q:\n%s", says, c.Stderr())
	}
	e := of(p, c.Rows(), "server_port", "9000")
	e.sums(t, "bytes_written", 1234, 1234)
	e.sums(t, "tcp_closed", 1, 1)
}

// Each limit ends the collector when it is exceeded for a while.
func TestLimitExits(t *testing.T) {
	needs(t, "wrk", "nginx")
	t.Run("cpu", func(t *testing.T) {
		exits(t, "cpu_limit exceeded for 5s: ", func(p netlab.Pair, _ *collector.Collector) {
			addr := netlab.ServerIP + ":9008"
			startNginx(t, p.Server, addr)
			begin(t, p.Client, "wrk", "-t1", "-c64", "-d60s", "http://"+addr+"/file")
		}, "--cpu-limit", "0.001", "--l7-ring-size", "1")
	})
	t.Run("net", func(t *testing.T) {
		exits(t, " on lo of 2.0MiB/s", func(netlab.Pair, *collector.Collector) { busyLoopback(t) },
			"--net-limit", "2MiB/s")
	})
	t.Run("mem", func(t *testing.T) {
		conf := filepath.Join(t.TempDir(), "ebpf.conf")
		write(t, conf, "[[inputs.ebpf]]\nmem_limit = \"1GiB\"\n")
		exits(t, "mem_limit exceeded for 5s: ", func(p netlab.Pair, c *collector.Collector) {
			addr := netlab.ServerIP + ":9008"
			startNginx(t, p.Server, addr)
			begin(t, p.Client, "wrk", "-t1", "-c64", "-d60s", "http://"+addr+"/file")
			time.Sleep(7 * time.Second)
			if strings.Contains(c.Stderr(), "exceeded") {
				t.Error("it ended below its limit")
			}
			// The tables of 1 GiB stay as they are and are more than the new limit.
			write(t, conf, "[[inputs.ebpf]]\nmem_limit = \"64MiB\"\n")
			c.Signal(t, syscall.SIGHUP)
		}, "--config", conf)
	})
}

// busyLoopback keeps some 20 MB/s moving on lo until the test ends.
func busyLoopback(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		c.Close()
		l.Close()
	})
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-tick.C:
				_, _ = c.Write(make([]byte, 200_000))
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
}

// Over a CPU limit the steps are taken one after the other, and said; netflow is
// exact all the time. When the load has gone, all comes back, also on
// connections that were open meanwhile.
func TestDegrade(t *testing.T) {
	needs(t, "h2load", "nghttpd")
	p := netlab.NewPair(t)
	p.Server.Start(t, exec.Command("nghttpd", "--no-tls", "-d", t.TempDir(), "-a", netlab.ServerIP, "9003"))
	p.Server.AwaitListener(t, netlab.ServerIP+":9003")
	startSite(t, p.Server)
	begin(t, p.Server, generator, "tcp-server", "-listen", netlab.ServerIP+":9301", "-limit", "1h")
	p.Server.AwaitListener(t, netlab.ServerIP+":9301")
	server := fakedatakit.Start(t)
	c := start(t, "--interval", "1s", "--cpu-limit", "0.12", "--limit-action", "degrade", "--sink", "stdout,datakit",
		"--datakit-apiserver", server.URL())
	kept := p.Client.Dial(t, "tcp", serverAddr)
	ask(t, kept, "/before")
	h2 := begin(t, p.Client, "h2load", "-D", "15", "-c", "10", "-m", "100", "-t", "1",
		"http://"+netlab.ServerIP+":9003/none")
	churn := begin(t, p.Client, generator, "tcp-churn", "-to", netlab.ServerIP+":9301", "-rate", "200", "-n", "3000",
		"-limit", "1h")
	awaitStep(t, c, 40*time.Second, func(step float64) bool { return step >= 1 })
	_, health := c.Get(t, "/healthz")
	for _, word := range []string{`"status": "degraded"`, `"shedding"`, "cpu_limit: ", "HTTP/2"} {
		if !strings.Contains(health, word) {
			t.Errorf("/healthz does not say %s:\n%s", word, health)
		}
	}
	doctor, _ := exec.Command(binary, "doctor", "--cpu-limit", "0.12", "--limit-action", "degrade", "--listen",
		strings.TrimPrefix(c.URL, "http://")).Output()
	if !strings.Contains(string(doctor), "has taken step") || !strings.Contains(string(doctor), "left out: payload") {
		t.Errorf("doctor does not say what is left out:\n%s", doctor)
	}
	turned := churn.result(t)
	h2.text(t)
	awaitStep(t, c, 90*time.Second, func(step float64) bool { return step == 0 })
	ask(t, kept, "/after")
	kept.Close()
	settle(t, p)
	steps := c.Metrics(t, "limit_steps_total", "shed_packets", `reason="shed"`)
	rows := c.Stop(t)
	t.Logf("%v", steps)
	exactTCP(t, "turned", of(p, rows, "server_port", "9301"), turned)
	e := measured("httpflow", p, rows, "server_port", "9000")
	for _, end := range []collector.Rows{e.client, e.server} {
		equalCounts(t, "requests on the connection that stayed", end.SumBy("count", "status_code", "path"),
			map[string]int64{"404 /before": 1, "404 /after": 1})
	}
	if steps[`weft_limit_steps_total{step="parsed"}`] < 1 {
		t.Errorf("steps that were taken: %v", steps)
	}
	if said := strings.Join(server.Errors(), "\n"); !strings.Contains(said, "cpu_limit: ") ||
		!strings.Contains(said, "nothing is left out any more") {
		t.Errorf("the server was told: %s", said)
	}
}

// ask sends a request and reads its answer.
func ask(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

func awaitStep(t *testing.T, c *collector.Collector, limit time.Duration, is func(step float64) bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Second) {
		step := c.Metrics(t, "weft_limit_step")["weft_limit_step"]
		if is(step) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still step %g after %v:\n%s", step, limit, c.Stderr())
		}
	}
}
