package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/netlab"
)

// secureSite is nginx with TLS; VERSIONS are those that it speaks.
const secureSite = `
daemon off; user root; worker_processes 1; pid DIR/pid; error_log DIR/error.log; worker_rlimit_nofile 20000;
events { worker_connections 4096; }
http {
  log_format count '$status $request_uri $bytes_sent $request_length';
  access_log DIR/access.log count; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;
  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  server {
    listen ADDR ssl http2 backlog=4096; root DIR;
    ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem; ssl_protocols VERSIONS;
    location /busy { return 503; }
  }
}`

func startSecureSite(t *testing.T, ns *netlab.Namespace, versions string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN=a.test", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem"),
	).CombinedOutput()
	if err != nil {
		t.Fatalf("make a certificate: %v\n%s", err, out)
	}
	conf := strings.NewReplacer("DIR", dir, "ADDR", serverAddr, "VERSIONS", versions).Replace(secureSite)
	write(t, filepath.Join(dir, "nginx.conf"), conf)
	write(t, filepath.Join(dir, "small"), strings.Repeat("s", 612))
	cmd := exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	ns.Start(t, cmd)
	t.Cleanup(func() { // SIGKILL would orphan the worker
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	ns.AwaitListener(t, serverAddr)
	return dir
}

// TestTLS: the requests inside TLS are nginx's own, over both versions of TLS
// and of HTTP, and each connection's hello is a tlsflow row.
func TestTLS(t *testing.T) {
	needs(t, "h2load", "nginx", "openssl")
	requests := 6000 * int(loadTime(t).Seconds())
	for _, c := range []struct{ name, tls, version, http, alpn string }{
		{"1.2, HTTP/1.1", "TLSv1.2", "1.2", "1.1", "http/1.1"},
		{"1.3, HTTP/1.1", "TLSv1.3", "1.3", "1.1", "http/1.1"},
		{"1.2, HTTP/2", "TLSv1.2", "1.2", "2", "h2"},
		{"1.3, HTTP/2", "TLSv1.3", "1.3", "2", "h2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := netlab.NewPair(t)
			dir := startSecureSite(t, p.Server, c.tls)
			w := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
			args := []string{"-n", strconv.Itoa(requests), "-c", "10", "-m", "100", "-t", "1"}
			if c.http == "1.1" {
				args = append(args, "--h1", "-m", "1")
			}
			p.Client.Output(t, "h2load", append(args, "https://"+serverAddr+"/small", "https://"+serverAddr+"/busy")...)
			settle(t, p)
			log := readLog(t, filepath.Join(dir, "access.log"))
			losses := w.Losses(t)
			rows := w.Stop(t)
			e := measured("httpflow", p, rows, "http_version", c.http, "server_port", "9000")
			equalCounts(t, "nginx's requests", e.server.SumBy("count", "status_code", "path"), log.requests)
			equalCounts(t, "h2load's requests", e.client.SumBy("count", "status_code", "path"), log.requests)
			equal(t, "requests inside TLS", e.server.Where("tls", "true").Sum("count"), int64(requests))
			equal(t, "server rows of nginx", len(e.server.Where("process_name", "nginx")), len(e.server))
			if c.http == "1.1" {
				equal(t, "bytes that nginx sent", e.server.Sum("bytes_written"), log.sent)
				equal(t, "bytes that nginx read", e.server.Sum("bytes_read"), log.received)
			}
			hellos := measured("tlsflow", p, rows, "tls_version", c.version)
			equal(t, "hellos of h2load", hellos.client.Sum("count"), 10)
			equal(t, "hellos at nginx", hellos.server.Sum("count"), 10)
			if c.version == "1.2" {
				equal(t, "hellos that agreed on "+c.alpn, hellos.server.Where("alpn", c.alpn).Sum("count"), 10)
			}
			if t.Failed() {
				t.Logf("what it counted as lost: %v", losses)
			}
		})
	}
}

// wrk against nginx over TLS: what it is without, in TestWrkNginx.
func TestWrkNginxTLS(t *testing.T) {
	needs(t, "wrk", "nginx", "openssl")
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		for name, w := range map[string]wrkLoad{
			"keep-alive": {connections: 32, depth: 1, requests: small, secure: true},
			"pipelined":  {connections: 8, depth: 16, requests: small, secure: true},
			"close":      {connections: 32, depth: 1, requests: closes, secure: true},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				p := netlab.NewPair(t)
				p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 65000")
				p.Client.Sysctl(t, "ipv4/tcp_tw_reuse", "1")
				dir := startSecureSite(t, p.Server, version)
				c := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
				report := w.run(t, p.Client, loadTime(t))
				settle(t, p)
				losses := c.Losses(t)
				e := measured("httpflow", p, c.Stop(t), "tls", "true")
				w.compare(t, e, readLog(t, filepath.Join(dir, "access.log")), report)
				if t.Failed() {
					t.Logf("what it counted as lost: %v", losses)
				}
			})
		}
	}
}

// A hundred megabytes inside TLS are one request, in HTTP/1.1 and HTTP/2, and
// little of them goes through the ring.
func TestTLSDownload(t *testing.T) {
	needs(t, "curl", "nginx", "openssl")
	const size = 100 << 20
	p := netlab.NewPair(t)
	dir := startSecureSite(t, p.Server, "TLSv1.3")
	if err := os.Truncate(filepath.Join(dir, "small"), size); err != nil {
		t.Fatal(err)
	}
	c := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
	for _, version := range []string{"--http1.1", "--http2"} {
		before := c.Metrics(t, "tls_skipped_bytes")["weft_tls_skipped_bytes_total"]
		got := p.Client.Output(t, "curl", "-sk", version, "-o", "/dev/null", "-w", "%{size_download}",
			"https://"+serverAddr+"/small")
		equal(t, "bytes that curl got", got, strconv.Itoa(size))
		time.Sleep(2 * time.Second) // counters are read out once a second
		skipped := c.Metrics(t, "tls_skipped_bytes")["weft_tls_skipped_bytes_total"] - before
		t.Logf("%s: %.1f of %d MB at both ends were not copied", version, skipped/(1<<20), 2*size>>20)
		if skipped < size {
			t.Errorf("%s: only %.0f bytes were left out", version, skipped)
		}
	}
	settle(t, p)
	losses := c.Losses(t)
	e := measured("httpflow", p, c.Stop(t), "tls", "true")
	want := map[string]int64{"1.1 200 /small": 1, "2 200 /small": 1}
	equalCounts(t, "curl's requests", e.client.SumBy("count", "http_version", "status_code", "path"), want)
	equalCounts(t, "nginx's requests", e.server.SumBy("count", "http_version", "status_code", "path"), want)
	t.Logf("what it counted as lost: %v", losses)
}
