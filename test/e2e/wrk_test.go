package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// loadTime is how long a load lasts: WEFT_E2E_LOAD=120s gives the long run.
func loadTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("WEFT_E2E_LOAD")
	if text == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		t.Fatalf("WEFT_E2E_LOAD=%s is not a duration of a second or more", text)
	}
	return d
}

// site is the nginx that answers wrk. It answers in all the ways that matter,
// logs what it did to access.log, and hands /up to a second server on loopback,
// which logs to upstream.log.
const site = `
daemon off; user root; worker_processes 1; pid DIR/pid; error_log DIR/error.log; worker_rlimit_nofile 20000;
events { worker_connections 4096; }
http {
  log_format count '$status $request_uri $bytes_sent $request_length';
  access_log DIR/access.log count;
  sendfile on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_buffer_size 128k; client_max_body_size 1m; proxy_http_version 1.1; proxy_set_header Connection "";
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;
  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  upstream second { server 127.0.0.1:9001; keepalive 16; keepalive_timeout 1s; }
  server {
    listen ADDR backlog=4096; root DIR;
    location /moved { return 301 /small; }
    location /empty { return 204; }
    location /busy { return 503; }
    location /up { proxy_pass http://second; }
  }
  server {
    listen 127.0.0.1:9001; access_log DIR/upstream.log count;
    location /up { proxy_pass http://127.0.0.1:9002; }
  }
  server { listen 127.0.0.1:9002; access_log off; location /up { return 204; } }
}`

// startSite runs nginx with the configuration and returns the directory of its
// logs.
func startSite(t *testing.T, ns *netlab.Namespace) string {
	t.Helper()
	dir := t.TempDir()
	conf := strings.NewReplacer("DIR", dir, "ADDR", serverAddr).Replace(site)
	write(t, filepath.Join(dir, "nginx.conf"), conf)
	write(t, filepath.Join(dir, "small"), strings.Repeat("s", 612))
	write(t, filepath.Join(dir, "large"), strings.Repeat("l", 200_000))
	cmd := exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	ns.Start(t, cmd)
	t.Cleanup(func() { // SIGKILL would orphan the worker
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	ns.AwaitListener(t, serverAddr)
	return dir
}

// siteLog is what nginx logged: requests by status and path, and bytes.
type siteLog struct {
	requests       map[string]int64
	sent, received int64
}

// readLog reads a log that does not grow any more. 499 is nginx's word for a
// client that left before its answer: nothing was sent.
func readLog(t *testing.T, path string) siteLog {
	t.Helper()
	log := siteLog{requests: map[string]int64{}}
	for line := range strings.Lines(quiet(t, path)) {
		var status, uri string
		var sent, received int64
		if _, err := fmt.Sscan(line, &status, &uri, &sent, &received); err != nil {
			t.Fatalf("nginx log %q: %v", line, err)
		}
		if status == "499" {
			status = "0"
		}
		log.requests[status+" "+uri]++
		log.sent, log.received = log.sent+sent, log.received+received
	}
	return log
}

// quiet is a file's text once it has not grown for a while.
func quiet(t *testing.T, path string) string {
	t.Helper()
	for before := int64(-1); ; time.Sleep(200 * time.Millisecond) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == before {
			break
		}
		before = info.Size()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wrkLoad is one way to use wrk.
type wrkLoad struct {
	// connections are open side by side; depth requests are sent at a time.
	connections, depth int
	// requests is Lua that fills the table r with the requests to send in turn.
	requests string
	// pause is before each request, in ms.
	pause int
	// secure: over TLS.
	secure bool
	// hangUp ends in the middle; otherwise every request is answered before the
	// end.
	hangUp bool
}

// script: delay holds every connection still, answered, before wrk ends.
func (w wrkLoad) script(load time.Duration) string {
	script := fmt.Sprintf(`
local r, n = {}, 0
function init(args)
  %s
  if %d > 1 then
    local all = {}
    for i = 1, %d do all[i] = r[(i - 1) %% #r + 1] end
    r = { table.concat(all) }
  end
end
function request() n = n + 1; return r[(n - 1) %% #r + 1] end
function done(s)
  local e = s.errors
  io.write(string.format('\n{"requests":%%d,"bytes":%%d,"errors":%%d}\n', s.requests, s.bytes,
    e.connect + e.read + e.write + e.timeout))
end`, w.requests, w.depth, w.depth)
	if w.hangUp {
		return script
	}
	return script + fmt.Sprintf(`
local last = os.time() + %d
function delay() if os.time() >= last then return 1000000 end return %d end`, int(load.Seconds())+1, w.pause)
}

// wrkReport is what the script prints at the end.
type wrkReport struct{ Requests, Bytes, Errors int64 }

func (w wrkLoad) run(t *testing.T, ns *netlab.Namespace, load time.Duration) wrkReport {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wrk.lua")
	write(t, path, w.script(load))
	if !w.hangUp {
		load += 2500 * time.Millisecond
	}
	scheme := "http://"
	if w.secure {
		scheme = "https://"
	}
	out := ns.Output(t, "wrk", "-t1", fmt.Sprintf("-c%d", w.connections), fmt.Sprintf("-d%ds", int(load.Seconds())),
		"--timeout", "10s", "-s", path, scheme+serverAddr)
	var r wrkReport
	if err := json.Unmarshal([]byte(out[strings.LastIndex(out, "\n{"):]), &r); err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	if r.Errors > 0 {
		t.Fatalf("wrk saw errors:\n%s", out)
	}
	return r
}

const (
	small  = `r = { wrk.format("GET", "/small") }`
	closes = `r = { wrk.format("GET", "/small", { Host = "x", Connection = "close" }) }`
	// Without /large: pipelined bodies go through the ring until user space has
	// said how long they are, and at gigabytes per second it takes only some.
	statuses = `for i, path in ipairs({ "/small", "/moved", "/none", "/empty", "/busy" }) do
    r[i] = wrk.format("GET", path) end`
	mixed = `for i, path in ipairs({ "/small", "/moved", "/none", "/empty", "/busy", "/large" }) do
    r[i] = wrk.format("GET", path) end`
	// What looks like a request in a body sends the connection to user space, and
	// so the body through the ring: paced, for the reason above.
	hostile = `local line = "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
  r = { wrk.format("POST", "/up", nil, string.rep(line, 50000 / #line)) }`
)

// wrk against nginx: requests by status and path, and bytes, are nginx's own
// and wrk's own.
func TestWrkNginx(t *testing.T) {
	needs(t, "wrk", "nginx")
	for name, w := range map[string]wrkLoad{
		"keep-alive":       {connections: 32, depth: 1, requests: small},
		"keep-alive, left": {connections: 32, depth: 1, requests: small, hangUp: true},
		"close":            {connections: 32, depth: 1, requests: closes},
		"close, left":      {connections: 32, depth: 1, requests: closes, hangUp: true},
		"pipelined":        {connections: 8, depth: 16, requests: small},
		"pipelined mix":    {connections: 8, depth: 10, requests: statuses},
		"mix":              {connections: 8, depth: 1, requests: mixed},
		"hostile bodies":   {connections: 8, depth: 1, requests: hostile, pause: 20},
	} {
		t.Run(name, func(t *testing.T) {
			p := netlab.NewPair(t)
			p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 65000")
			// A client of many short connections comes to the end of its ports.
			p.Client.Sysctl(t, "ipv4/tcp_tw_reuse", "1")
			dir := startSite(t, p.Server)
			c := start(t, "--loopback", "--interval", "1s")
			report := w.run(t, p.Client, loadTime(t))
			settle(t, p)
			log := readLog(t, filepath.Join(dir, "access.log"))
			losses := c.Losses(t)
			rows := c.Stop(t)
			e := measured("httpflow", p, rows, "server_port", "9000")
			w.compare(t, e, log, report)
			compareUpstream(t, readLog(t, filepath.Join(dir, "upstream.log")), rows.Where("source", "httpflow",
				"netns", p.Server.Tag, "server_port", "9001"))
			if t.Failed() {
				t.Logf("what it counted as lost: %v", losses)
			}
		})
	}
}

// compare: when wrk leaves, the answers on their way are nobody's figure but
// the server's.
func (w wrkLoad) compare(t *testing.T, e ends, log siteLog, report wrkReport) {
	t.Helper()
	t.Logf("%d requests", report.Requests)
	equalCounts(t, "nginx's requests", e.server.SumBy("count", "status_code", "path"), log.requests)
	equal(t, "bytes that nginx sent", e.server.Sum("bytes_written"), log.sent)
	equal(t, "bytes that nginx read", e.server.Sum("bytes_read"), log.received)
	equal(t, "client rows of wrk", len(e.client.Where("process_name", "wrk")), len(e.client))
	equal(t, "server rows of nginx", len(e.server.Where("process_name", "nginx")), len(e.server))
	client := e.client.Sum("count")
	if !w.hangUp {
		equal(t, "wrk's requests", client, report.Requests)
		equal(t, "bytes that wrk read", e.client.Sum("bytes_read"), report.Bytes)
		equalCounts(t, "wrk's requests", e.client.SumBy("count", "status_code", "path"), log.requests)
		equal(t, "bytes that wrk sent", e.client.Sum("bytes_written"), log.received)
		return
	}
	if most := report.Requests + int64(w.connections*w.depth); client < report.Requests || client > most {
		t.Errorf("wrk's requests: got %d, want %d to %d", client, report.Requests, most)
	}
}

// compareUpstream compares the hop from nginx to nginx, both ends of which are
// in one namespace.
func compareUpstream(t *testing.T, log siteLog, rows collector.Rows) {
	t.Helper()
	for _, direction := range []string{"outgoing", "incoming"} {
		hop := rows.Where("direction", direction)
		equalCounts(t, direction+" requests of the upstream hop", hop.SumBy("count", "status_code", "path"), log.requests)
		equal(t, direction+" bytes of requests", hop.Sum("client_sent"), log.received)
		equal(t, direction+" bytes of responses", hop.Sum("server_sent"), log.sent)
	}
}
