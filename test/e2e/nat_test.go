package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	write(t, script, fmt.Sprintf(`#!/bin/sh
exec unshare -m sh -c 'mount --bind /proc/%d /proc/1 && exec %s "$@"' sh "$@"
`, n.MachinePID, binary))
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
  log_format count '$status';
  keepalive_requests 1000000; keepalive_timeout 600s; default_type text/plain;
  server { listen 198.18.2.11:8080; listen [fd00:5765:2::b]:8080; access_log DIR/0.log count; return 200 "zero"; }
  server { listen 198.18.2.12:8080; listen [fd00:5765:2::c]:8080; access_log DIR/1.log count; return 200 "one"; }
  server { listen 198.18.2.13:8080; listen [fd00:5765:2::d]:8080; access_log DIR/2.log count; return 200 "two"; }
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

// requestsLogged is what nginx logged: requests by the address of the backend.
func requestsLogged(t *testing.T, dir string, backend func(int) string) map[string]int64 {
	t.Helper()
	requests := map[string]int64{}
	for i := range 3 {
		requests[backend(i)+" 8080"] = int64(strings.Count(quiet(t, filepath.Join(dir, fmt.Sprint(i)+".log")), "\n"))
	}
	return requests
}

// byTarget are the tags that tell where NAT sent a flow.
func byTarget(rows collector.Rows, field string) map[string]int64 {
	return rows.SumBy(field, "dst_nat_ip", "dst_nat_port")
}

// iptablesService is what kube-proxy's iptables mode makes of a service.
func iptablesService(t *testing.T, n *netlab.Node) {
	for _, chain := range []string{"OUTPUT", "PREROUTING"} {
		for i, share := range []string{"0.33333", "0.5", "1"} {
			n.Machine.Output(t, "iptables-nft", "-t", "nat", "-A", chain, "-d", netlab.ServiceIP, "-p", "tcp", "--dport", "81",
				"-m", "statistic", "--mode", "random", "--probability", share,
				"-j", "DNAT", "--to-destination", netlab.Backend(i)+":8080")
		}
	}
}

// Requests to a service, over connections of one and of many requests, from a
// pod, from the machine and over IPv6: every row carries the backend that logged
// them.
func TestServiceTargets(t *testing.T) {
	needs(t, "nft", "iptables-nft", "nginx", "wrk")
	const pod4, pod6, machine4 = "198.18.1.2", "fd00:5765:1::2", "198.18.2.1"
	for _, c := range []targetCase{
		{name: "close", service: netlab.ServiceIP, port: "80", from: pod4, close: true},
		{name: "keep-alive", service: netlab.ServiceIP, port: "80", from: pod4},
		{name: "machine", service: netlab.ServiceIP, port: "80", from: machine4, close: true},
		{name: "IPv6", service: netlab.ServiceIP6, port: "80", from: pod6, close: true},
		{name: "iptables", service: netlab.ServiceIP, port: "81", from: pod4, close: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netlab.NewNode(t)
			iptablesService(t, n)
			from, backend := n.Pod, netlab.Backend
			if c.from == machine4 {
				from = n.Machine
			}
			if c.from == pod6 {
				backend = netlab.Backend6
			}
			dir := startBackends(t, n)
			w := startOnNode(t, n, "--interval", "1s")
			c.load(t, from)
			rows := w.Stop(t)
			out := rows.Where("netns", from.Tag, "direction", "outgoing", "dst_port", c.port)
			equalCounts(t, "requests", byTarget(out.Where("source", "httpflow"), "count"), requestsLogged(t, dir, backend))
			// wrk opens connections that it does not use, which nginx does not log.
			in := rows.Where("netns", n.Backends.Tag, "source", "netflow", "src_port", "8080", "dst_ip", c.from)
			equalCounts(t, "connections", byTarget(out.Where("source", "netflow"), "tcp_established"),
				in.SumBy("tcp_established", "src_ip", "src_port"))
			equalCounts(t, "targets of the servers' ends", byTarget(in, "tcp_established"),
				map[string]int64{"N/A N/A": in.Sum("tcp_established")})
			t.Logf("%d requests, %d connections", out.Sum("count"), in.Sum("tcp_established"))
		})
	}
}

// targetCase is a service and who uses it.
type targetCase struct {
	name, service, port, from string
	close                     bool
}

func (c targetCase) load(t *testing.T, from *netlab.Namespace) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "wrk.lua")
	request := `r = { wrk.format("GET", "/") }`
	if c.close {
		request = `r = { wrk.format("GET", "/", { Host = "x", Connection = "close" }) }`
	}
	load := loadTime(t)
	write(t, script, wrkLoad{connections: 16, depth: 1, requests: request}.script(load))
	from.Output(t, "wrk", "-t1", "-c16", fmt.Sprintf("-d%ds", int(load.Seconds())+2), "-s", script,
		"http://"+net.JoinHostPort(c.service, c.port)+"/")
}

// Many short connections: from new client ports, and such as use ports again
// while rows of the connection before have not been read.
func TestFloodOfShortConnections(t *testing.T) {
	needs(t, "nft")
	for _, c := range []struct {
		name, ports string
	}{
		{name: "new ports", ports: "1024 65535"},
		{name: "reused ports", ports: "30000 34000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netlab.NewNode(t)
			n.Pod.Sysctl(t, "ipv4/ip_local_port_range", c.ports)
			servers := startServers(t, n, "tcp-server", "8080")
			w := startOnNode(t, n, "--interval", "10s")
			const conns = 50_000
			client := generate(t, n.Pod, "tcp-churn", "-reset", "-to", serviceAddr, "-n", fmt.Sprint(conns))
			equal(t, "exchanges of the generator", client.Ops, conns)
			want := map[string]int64{}
			for i, s := range servers {
				want[netlab.Backend(i)+" 8080"] = s.stop(t).Connections
			}
			losses := w.Losses(t)
			rows := w.Stop(t).Where("netns", n.Pod.Tag, "source", "netflow", "dst_port", "80")
			equalCounts(t, "connections by target", byTarget(rows, "tcp_established"), want)
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
	equalCounts(t, "datagrams", byTarget(flows.Where("dst_port", "80"), "packets_written"), udp)
	equalCounts(t, "queries as datagrams", byTarget(flows.Where("dst_port", "53"), "packets_written"), queries)
	answers := rows.Where("source", "dnsflow", "netns", n.Pod.Tag)
	equalCounts(t, "queries", byTarget(answers, "count"), queries)
}

// generate runs the generator in the namespace and returns what it counted.
func generate(t *testing.T, ns *netlab.Namespace, args ...string) traffic.Result {
	t.Helper()
	return resultOf(t, ns.Output(t, generator, args...))
}

func resultOf(t *testing.T, out string) traffic.Result {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r traffic.Result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("the generator itself failed: %v: %s", err, out)
	}
	return r
}

// server is a server of the generator.
type server struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// A pod that redirects its own connections to a sidecar: both ends are in the
// namespace that does the NAT.
func TestSidecar(t *testing.T) {
	needs(t, "nft", "curl", "python3")
	n := netlab.NewNode(t)
	n.Pod.Output(t, "nft", `table ip own {
		chain out { type nat hook output priority -100; tcp dport 9000 redirect to :15001; }
	}`)
	sidecar := exec.Command("python3", "-m", "http.server", "15001", "--bind", "127.0.0.1", "--directory", t.TempDir())
	n.Pod.Start(t, sidecar)
	n.Pod.AwaitListener(t, "127.0.0.1:15001")
	w := startOnNode(t, n, "--loopback")
	const requests = 20
	for range requests {
		n.Pod.Output(t, "curl", "-s", "http://198.18.2.11:9000/")
	}
	rows := w.Stop(t).Where("netns", n.Pod.Tag)
	want := map[string]int64{"127.0.0.1 15001": requests}
	out := rows.Where("direction", "outgoing", "dst_ip", "198.18.2.11", "dst_port", "9000")
	equalCounts(t, "connections", byTarget(out.Where("source", "netflow"), "tcp_established"), want)
	equalCounts(t, "requests", byTarget(out.Where("source", "httpflow", "status_code", "200"), "count"), want)
	in := rows.Where("source", "httpflow", "direction", "incoming", "src_port", "15001", "status_code", "200")
	equalCounts(t, "requests of the sidecar", byTarget(in, "count"), map[string]int64{"N/A N/A": requests})
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
	return resultOf(t, string(out))
}
