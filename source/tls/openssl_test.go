package tls

import (
	"fmt"
	"testing"

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

func TestCurlAndPython(t *testing.T) {
	need(t, "curl", "python3")
	pem := certificate(t)
	for _, version := range []string{"1.2", "1.3"} {
		t.Run("TLS "+version, func(t *testing.T) {
			port, _ := serve(t, "python3", "-c", pythonServer, pem)
			b := begin(t)
			const n = 20
			args := []string{"-s", "--cacert", pem, "--tlsv" + version, "--tls-max", version, "--http1.1"}
			for i := range n {
				args = append(args, fmt.Sprintf("https://localhost:%d/r%dx", port, i))
			}
			run(t, "curl", args...)
			all := b.end()
			wantRequests(t, "curl", on(all, port, record.Outgoing), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			wantRequests(t, "python", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
			for _, p := range all {
				t.Logf("%+v chunks %d gaps %d closed %v", p.info, p.chunks, p.gaps, p.closed)
			}
		})
	}
}
