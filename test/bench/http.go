package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// nginx listens twice: on plainPort without a log, for what a request costs,
// and on loggedPort with one, for what it really sent and received.
const (
	plainPort  = 80
	loggedPort = 81
	pageSize   = 612
	// wrkConnections are open side by side.
	wrkConnections = 32
)

const nginxConf = `worker_processes 1; daemon off; pid %[1]s/nginx.pid; error_log stderr; worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
  log_format counts '$bytes_sent $request_length $body_bytes_sent';
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  default_type text/html; open_file_cache max=100; root %[1]s;
  server { listen %[2]s:80 backlog=4096; }
  server { listen %[2]s:81 backlog=4096; access_log %[1]s/access.log counts buffer=64k flush=100ms; }
}
`

// wrkScript only prints: with a request function it would run Lua per request.
const wrkScript = `done = function(s, latency)
  local e = s.errors
  io.write(string.format('\n{"requests":%d,"bytes":%d,"wall_s":%.6f,"errors":%d}\n', s.requests, s.bytes,
    s.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
`

func nginx(l *lab) ([]string, error) {
	if _, err := l.writeFile("s.html", strings.Repeat("x", pageSize)); err != nil {
		return nil, err
	}
	if _, err := l.writeFile("report.lua", wrkScript); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(l.dir, "access.log")); err != nil {
		return nil, fmt.Errorf("removing the old log: %w", err)
	}
	conf, err := l.writeFile("nginx.conf", fmt.Sprintf(nginxConf, l.dir, serverIP))
	return []string{"nginx", "-e", "stderr", "-c", conf}, err
}

func wrk(l *lab, a amount, headers ...string) []string {
	port := plainPort
	if a.exact {
		port = loggedPort
	}
	argv := []string{"wrk", "-t1", fmt.Sprintf("-c%d", wrkConnections),
		fmt.Sprintf("-d%ds", max(1, int(a.limit.Seconds()))), "-s", l.dir + "/report.lua"}
	for _, h := range headers {
		argv = append(argv, "-H", h)
	}
	return append(argv, fmt.Sprintf("http://%s:%d/s.html", serverIP, port))
}

func httpKeepAlive() workload {
	return workload{
		name: "http_ka", unit: "1M",
		server: nginx, ready: bound{"tcp", []uint16{plainPort, loggedPort}, 2},
		client:  func(l *lab, a amount) []string { return wrk(l, a) },
		outcome: httpOutcome,
	}
}

func httpClose() workload {
	w := httpKeepAlive()
	w.name = "http_close"
	w.client = func(l *lab, a amount) []string { return wrk(l, a, "Connection: close") }
	return w
}

type wrkReport struct {
	Requests int64   `json:"requests"`
	Bytes    int64   `json:"bytes"`
	Wall     float64 `json:"wall_s"`
	Errors   int64   `json:"errors"`
}

func httpOutcome(f *finished) (outcome, error) {
	_, text, _ := strings.Cut(f.clientOut, "\n{")
	var r wrkReport
	if err := json.Unmarshal([]byte("{"+text), &r); err != nil {
		return outcome{}, fmt.Errorf("the report of wrk %q: %w", f.clientOut, err)
	}
	o := outcome{ops: float64(r.Requests), wall: r.Wall}
	if r.Errors > 0 {
		o.failed = fmt.Sprintf("wrk: %d errors", r.Errors)
	}
	if !f.amount.exact {
		return o, nil
	}
	log, err := f.lab.accessLog()
	if err != nil {
		return o, err
	}
	o.truth, err = httpTruth(log, r, f.clientCounts, f.serverCounts)
	return o, err
}

func (l *lab) accessLog() (string, error) {
	log, err := os.ReadFile(filepath.Join(l.dir, "access.log"))
	if err != nil {
		return "", fmt.Errorf("reading nginx's log: %w", err)
	}
	return string(log), nil
}

// httpTruth: bytes are nginx's own count. Connections are the namespaces' own,
// since wrk does not say how many it opened (one more than it uses: it tries
// the address first). wrk hangs up without reading the answers on their way.
func httpTruth(log string, r wrkReport, client, server kernelCounts) (truth, error) {
	var sent, received int64
	for line := range strings.Lines(log) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return truth{}, fmt.Errorf("nginx's log has a line %q", line)
		}
		s, _ := strconv.ParseInt(f[0], 10, 64)
		n, _ := strconv.ParseInt(f[1], 10, 64)
		sent, received = sent+s, received+n
	}
	opened, accepted := client["TcpActiveOpens"], server["TcpPassiveOpens"]
	return truth{
		ports: []string{strconv.Itoa(loggedPort)},
		client: clientEnd("wrk", expectation{
			established: exactly(opened - client["TcpAttemptFails"]), closed: exactly(opened - client["TcpAttemptFails"]),
			connectFailed: exactly(client["TcpAttemptFails"]),
			bytesWritten:  exactly(received), bytesRead: {r.Bytes, sent},
		}),
		server: serverEnd("nginx", expectation{
			established: exactly(accepted), closed: exactly(accepted),
			bytesWritten: exactly(sent), bytesRead: exactly(received),
		}),
	}, nil
}
