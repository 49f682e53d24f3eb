package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
	"weft/test/load/traffic"
)

const serviceAddr = netlab.ServiceIP + ":80"

// startOnNode starts the collector as if the node were the machine: it sees
// another process in the place of the first one.
func startOnNode(t *testing.T, n *netlab.Node, args ...string) *collector.Collector {
	t.Helper()
	script := filepath.Join(t.TempDir(), "weft")
	write(t, script, fmt.Sprintf("#!/bin/sh\nexec unshare -m sh -c 'mount --bind /proc/%d /proc/1 && exec %s \"$@\"' sh \"$@\"\n",
		n.MachinePID, binary))
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	return collector.Start(t, script, append([]string{"--enabled", "ebpf-net,ebpf-conntrack"}, args...)...)
}

// backendSite is an nginx with three servers, each with a log of its own.
const backendSite = `
daemon off; user root; worker_processes 1; pid DIR/pid; error_log DIR/error.log; worker_rlimit_nofile 20000;
events { worker_connections 4096; }
http {
  log_format count '$status $connection';
  keepalive_requests 1000000; keepalive_timeout 600s;
  server { listen 198.18.2.11:8080; listen [fd00:5765:2::b]:8080; access_log DIR/0.log count; location / { return 200 "zero"; } }
  server { listen 198.18.2.12:8080; listen [fd00:5765:2::c]:8080; access_log DIR/1.log count; location / { return 200 "one"; } }
  server { listen 198.18.2.13:8080; listen [fd00:5765:2::d]:8080; access_log DIR/2.log count; location / { return 200 "two"; } }
}`

// startBackends runs it and returns the directory of its logs.
func startBackends(t *testing.T, n *netlab.Node) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "nginx.conf"), strings.ReplaceAll(backendSite, "DIR", dir))
	cmd := exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	n.Backends.Start(t, cmd)
	t.Cleanup(func() { // SIGKILL would orphan the worker
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for i := range 3 {
		n.Backends.AwaitListener(t, netlab.Backend(i)+":8080")
	}
	return dir
}

// backendLogs is what nginx logged: requests and connections of each backend,
// by its address.
func backendLogs(t *testing.T, dir string, backend func(int) string) (requests, connections map[string]int64) {
	t.Helper()
	requests, connections = map[string]int64{}, map[string]int64{}
	for i := range 3 {
		seen := map[string]bool{}
		for line := range strings.Lines(quiet(t, filepath.Join(dir, fmt.Sprint(i)+".log"))) {
			requests[backend(i)]++
			seen[line] = true
		}
		connections[backend(i)] = int64(len(seen))
	}
	return requests, connections
}

// Requests to a service, over connections of one and of many requests, from a
// pod, from the machine and over IPv6: every row carries the backend that logged
// them.
func TestServiceTargets(t *testing.T) {
	needs(t, "nft", "nginx", "wrk", "curl")
	for _, c := range []struct {
		name, url string
		backend   func(int) string
		args      []string
		machine   bool
	}{
		{name: "close", url: "http://" + serviceAddr + "/a", backend: netlab.Backend, args: []string{"-H", "Connection: close"}},
		{name: "keep-alive", url: "http://" + serviceAddr + "/a", backend: netlab.Backend},
		{name: "machine", url: "http://" + serviceAddr + "/a", backend: netlab.Backend, args: []string{"-H", "Connection: close"},
			machine: true},
		{name: "IPv6", url: "http://[" + netlab.ServiceIP6 + "]:80/a", backend: netlab.Backend6,
			args: []string{"-H", "Connection: close"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netlab.NewNode(t)
			dir := startBackends(t, n)
			w := startOnNode(t, n, "--interval", "1s")
			from := n.Pod
			if c.machine {
				from = n.Machine
			}
			script := filepath.Join(t.TempDir(), "wrk.lua")
			write(t, script, wrkLoad{connections: 16, depth: 1, requests: `r[1] = wrk.format()`}.script(loadTime(t)))
			args := append([]string{"-t1", "-c16", "-d" + (loadTime(t) + 2e9).String(), "-s", script}, c.args...)
			from.Output(t, "wrk", append(args, c.url)...)
			requests, connections := backendLogs(t, dir, c.backend)
			rows := w.Stop(t)
			dst := []string{"netns", from.Tag, "direction", "outgoing", "dst_port", "80"}
			http := rows.Where(append(dst, "source", "httpflow")...)
			equalCounts(t, "requests by target", http.SumBy("count", "dst_nat_ip", "dst_nat_port"), with(requests, "8080"))
			flows := rows.Where(append(dst, "source", "netflow")...)
			equalCounts(t, "connections by target", flows.SumBy("tcp_established", "dst_nat_ip", "dst_nat_port"),
				with(connections, "8080"))
			server := rows.Where("netns", n.Backends.Tag, "source", "netflow", "direction", "incoming", "src_port", "8080")
			equalCounts(t, "the other ends", server.SumBy("tcp_established", "src_ip", "dst_nat_ip", "dst_nat_port"),
				with(connections, "N/A N/A"))
			t.Logf("%d requests, %d connections", http.Sum("count"), flows.Sum("tcp_established"))
		})
	}
}

// with adds text to the keys.
func with(counts map[string]int64, text string) map[string]int64 {
	out := map[string]int64{}
	for key, n := range counts {
		out[key+" "+text] = n
	}
	return out
}

// Many short connections: from new client ports, and such as use ports again
// while rows of the connection before have not been read.
func TestFloodOfShortConnections(t *testing.T) {
	needs(t, "nft")
	for _, c := range []struct {
		name, ports string
		args        []string
	}{
		{name: "new ports", ports: "1024 65535"},
		{name: "reused ports", ports: "30000 34000", args: []string{"-reset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netlab.NewNode(t)
			n.Pod.Sysctl(t, "ipv4/ip_local_port_range", c.ports)
			servers := startServers(t, n, "tcp-server", "8080")
			w := startOnNode(t, n, "--interval", "10s")
			const conns = 50_000
			client := generate(t, n.Pod, append([]string{"tcp-churn", "-to", serviceAddr, "-n", fmt.Sprint(conns)}, c.args...)...)
			equal(t, "connections of the generator", client.Connections, conns)
			want := map[string]int64{}
			for i, s := range servers {
				want[netlab.Backend(i)+" 8080"] = s.stop(t).Connections
			}
			losses := w.Losses(t)
			rows := w.Stop(t).Where("netns", n.Pod.Tag, "source", "netflow", "dst_port", "80")
			equalCounts(t, "connections by target", rows.SumBy("tcp_established", "dst_nat_ip", "dst_nat_port"), want)
			for what, lost := range losses {
				if strings.Contains(what, "nat") || strings.Contains(what, "flows_full") {
					t.Errorf("%s: %v", what, lost)
				}
			}
		})
	}
}

// UDP and DNS through a service.
func TestServiceOverUDP(t *testing.T) {
	needs(t, "nft", "dnsmasq")
	n := netlab.NewNode(t)
	servers := startServers(t, n, "udp-server", "8080")
	var logs [3]string
	for i := range logs {
		logs[i] = filepath.Join(t.TempDir(), "dns.log")
		cmd := exec.Command("dnsmasq", "-k", "-a", netlab.Backend(i), "--bind-interfaces", "--no-resolv", "--no-hosts",
			"--conf-file=/dev/null", "--user=root", "--pid-file=", "--cache-size=0", "--address=/example.test/10.1.2.3",
			"--log-queries", "--log-facility="+logs[i])
		n.Backends.Start(t, cmd)
		n.Backends.AwaitListener(t, netlab.Backend(i)+":53")
	}
	w := startOnNode(t, n)
	const requests = 3000
	client := generate(t, n.Pod, "udp-client", "-to", serviceAddr, "-n", fmt.Sprint(requests), "-per-socket", "10")
	equal(t, "requests of the generator", client.Ops, requests)
	unconnected := generate(t, n.Machine, "udp-client", "-to", serviceAddr, "-n", "300", "-unconnected")
	equal(t, "unconnected requests", unconnected.Ops, 300)
	dns := generate(t, n.Pod, "dns-client", "-to", netlab.ServiceIP+":53", "-n", fmt.Sprint(requests), "-per-socket", "1")
	equal(t, "queries of the generator", dns.Ops, requests)

	udp, queries := map[string]int64{}, map[string]int64{}
	for i, s := range servers {
		udp[netlab.Backend(i)+" 8080"] = s.stop(t).ReceivedPackets
		queries[netlab.Backend(i)+" 53"] = int64(strings.Count(quiet(t, logs[i]), "query["))
	}
	rows := w.Stop(t).Where("direction", "outgoing")
	flows := rows.Where("source", "netflow", "transport", "udp", "dst_ip", netlab.ServiceIP)
	equalCounts(t, "datagrams by target", flows.Where("dst_port", "80").SumBy("packets_written", "dst_nat_ip", "dst_nat_port"), udp)
	equalCounts(t, "queries as datagrams", flows.Where("dst_port", "53").SumBy("packets_written", "dst_nat_ip", "dst_nat_port"),
		queries)
	answers := rows.Where("source", "dnsflow", "netns", n.Pod.Tag)
	equalCounts(t, "queries by target", answers.SumBy("count", "dst_nat_ip", "dst_nat_port"), queries)
}

// generate runs the generator in the namespace and returns what it counted.
func generate(t *testing.T, ns *netlab.Namespace, args ...string) traffic.Result {
	t.Helper()
	return lastLine(t, ns.Output(t, generator, args...))
}

func lastLine(t *testing.T, out string) traffic.Result {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r traffic.Result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil || r.Failed > 0 {
		t.Fatalf("the generator itself failed (%v): %s", err, out)
	}
	return r
}

// server is a server of the generator.
type server struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// startServers runs one at the port of each backend.
func startServers(t *testing.T, n *netlab.Node, mode, port string) [3]server {
	t.Helper()
	var all [3]server
	for i := range all {
		cmd := exec.Command(generator, mode, "-listen", netlab.Backend(i)+":"+port)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		n.Backends.Start(t, cmd)
		all[i] = server{cmd, bufio.NewReader(pipe)}
		if line, err := all[i].out.ReadString('\n'); err != nil { // it is ready
			t.Fatalf("%s: %v: %s", mode, err, line)
		}
	}
	return all
}

// stop ends the server and returns what it counted.
func (s server) stop(t *testing.T) traffic.Result {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s.out)
	if err != nil {
		t.Fatal(err)
	}
	return lastLine(t, string(out))
}
