package tls

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weft/protocol"
	"weft/record"
)

const pythonServer = `
import http.server, ssl, sys, socketserver
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"hello from " + self.path.encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1])
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True)
s.serve_forever()
`

// versions are the flags that hold curl and wget to a version of TLS.
func versions() []string { return []string{"1.2", "1.3"} }

// urls are n requests to a server.
func urls(port, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("https://localhost:%d/r%dx", port, i))
	}
	return all
}

func TestCurlAndPython(t *testing.T) {
	need(t, "curl", "python3")
	pem := certificate(t)
	for _, version := range versions() {
		t.Run("TLS "+version, func(t *testing.T) {
			port, _ := serve(t, "python3", "-c", pythonServer, pem)
			b := begin(t)
			const n = 20
			args := []string{"-s", "--cacert", pem, "--tlsv" + version, "--tls-max", version, "--http1.1"}
			run(t, "curl", append(args, urls(port, n)...)...)
			all := b.end()
			wantRequests(t, "curl", on(all, port, record.Outgoing), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			wantRequests(t, "python", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			samePlaintext(t, all, port)
		})
	}
}

// wget links GnuTLS in Debian.
func TestWget(t *testing.T) {
	need(t, "wget", "python3")
	pem := certificate(t)
	for _, version := range versions() {
		t.Run("TLS "+version, func(t *testing.T) {
			port, _ := serve(t, "python3", "-c", pythonServer, pem)
			b := begin(t)
			const n = 20
			args := []string{"-q", "-O", "/dev/null", "--ca-certificate", pem}
			if version == "1.2" {
				args = append(args, "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.2")
			}
			run(t, "wget", append(args, urls(port, n)...)...)
			all := b.end()
			wantRequests(t, "wget", on(all, port, record.Outgoing), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			wantRequests(t, "python", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			samePlaintext(t, all, port)
		})
	}
}

// nginx has its body from a file; curl reads it in HTTP/1.1 and HTTP/2.
func TestNginx(t *testing.T) {
	need(t, "nginx", "curl")
	pem := certificate(t)
	for _, version := range versions() {
		t.Run("TLS "+version, func(t *testing.T) {
			port := nginx(t, pem, version)
			b := begin(t)
			run(t, "curl", append([]string{"-s", "--cacert", pem, "--http1.1"}, urls(port, 5)...)...)
			h1 := run(t, "curl", "-s", "--cacert", pem, "--http1.1", fmt.Sprintf("https://localhost:%d/large", port))
			h2 := run(t, "curl", "-s", "--cacert", pem, "--http2", fmt.Sprintf("https://localhost:%d/large", port))
			if len(h1) != largeSize || h2 != h1 {
				t.Fatalf("curl got %d and %d bytes", len(h1), len(h2))
			}
			all := b.end()
			for _, d := range []record.Direction{record.Outgoing, record.Incoming} {
				conns := on(all, port, d)
				wantRequests(t, d.String(), conns, "GET /r%dx HTTP/1.1\r\n", "hello from nginx", 5)
				if got := sideBytes(conns, protocol.Server); d == record.Outgoing && !bytes.Contains(got, []byte(h1)) {
					t.Errorf("curl's large answer is not whole among %d bytes", len(got))
				}
				if got := sideBytes(conns, protocol.Client); bytes.Count(got, []byte("PRI * HTTP/2.0")) != 1 {
					t.Errorf("%v: HTTP/2 was not seen", d)
				}
			}
			samePlaintext(t, all, port)
		})
	}
}

const largeSize = 3 << 20

// nginx starts one with a small and a large answer.
func nginx(t *testing.T, pem, version string) (port int) {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.Chmod(filepath.Dir(dir), 0o755)
	var large bytes.Buffer
	for i := 0; large.Len() < largeSize; i++ {
		fmt.Fprintf(&large, "%015d\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), large.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	port = freePort(t)
	conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr error; worker_processes 1;
events {}
http {
	access_log off; sendfile on;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s;
	fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen 127.0.0.1:%[2]d ssl http2;
		ssl_certificate %[3]s; ssl_certificate_key %[3]s; ssl_protocols TLSv%[4]s;
		location / { return 200 "hello from nginx"; }
		location /large { root %[1]s; }
	}
}`, dir, port, pem, version)
	path := filepath.Join(dir, "conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	background(t, "nginx", "-c", path, "-p", dir)
	waitPort(t, port)
	return port
}
