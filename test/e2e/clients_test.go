package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/e2e/netlab"
)

// Servers that answer GET and POST with 200, and paths with "none" with 404.
// argv is the address and the port, and for HTTPS a file with the certificate
// and its key.
const (
	pythonServer = `
import ssl, sys
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"x" * 3000
        self.send_response(404 if "none" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *a): pass
s = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), H)
if len(sys.argv) > 3:
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(sys.argv[3])
    s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()`
	nodeServer = `
const [host, port, pem] = process.argv.slice(1), key = pem && require("fs").readFileSync(pem);
require(pem ? "https" : "http").createServer({ key, cert: key }, (q, r) => q.resume().on("end", () => {
  r.statusCode = q.url.includes("none") ? 404 : 200;
  for (let i = 0; i < 3; i++) r.write("x".repeat(1000)); // chunked
  r.end();
})).listen(+port, host);`
)

// Clients that GET prefix/0 to prefix/N-1, then prefix/none, and POST 30 kB to
// prefix/post. argv is the URL with the prefix, and N.
const (
	curlClient = `for i in $(seq 0 $(($1 - 1))); do echo "url = $0/$i"; echo 'output = /dev/null'; done >list
curl -sk -K list && curl -sk -o /dev/null $0/none &&
head -c 30000 /dev/zero | tr '\0' g | curl -sk -o /dev/null -H Expect: --data-binary @- $0/post`
	pythonClient = `
import sys, http.client, ssl, urllib.request
from urllib.parse import urlsplit
url, n = urlsplit(sys.argv[1]), int(sys.argv[2])
trust, kept = ssl._create_unverified_context(), http.client.HTTPConnection(url.netloc)
if url.scheme == "https":
    kept = http.client.HTTPSConnection(url.netloc, context=trust)
for i in range(n):
    if i % 2:
        urllib.request.urlopen(url.geturl() + "/%d" % i, context=trust).read()
    else:
        kept.request("GET", url.path + "/%d" % i)
        kept.getresponse().read()
for method, path, body in ("GET", "/none", None), ("POST", "/post", b"g" * 30000):
    kept.request(method, url.path + path, body=body)
    kept.getresponse().read()`
	nodeClient = `
const [url, n] = process.argv.slice(1), http = require(url.split(":")[0]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false });
const ask = (method, path, body) => new Promise((ok, bad) => {
  const q = http.request(url + path, { method, agent }, r => r.resume().on("end", ok));
  q.on("error", bad);
  q.end(body);
});
(async () => {
  await Promise.all([...Array(+n).keys()].map(i => ask("GET", "/" + i)));
  await ask("GET", "/none");
  await ask("POST", "/post", "g".repeat(30000));
  agent.destroy();
})();`
)

// Every request of every kind of client to every kind of server is there, once
// on each side.
func TestClientsAndServers(t *testing.T) {
	needs(t, "curl", "python3", "node")
	const n = 20
	clients := map[string]func(*testing.T, *netlab.Namespace, string){
		"curl":   command("sh", "-c", curlClient),
		"python": command("python3", "-c", pythonClient),
		"node":   command("node", "-e", nodeClient),
		"go":     goClient,
	}
	for server, begin := range map[string]func(*testing.T, *netlab.Namespace){
		"python": serve("python3", "-c", pythonServer), "node": serve("node", "-e", nodeServer), "go": serveGo,
	} {
		t.Run(server, func(t *testing.T) {
			p := netlab.NewPair(t)
			begin(t, p.Server)
			c := start(t, "--interval", "1s")
			want := map[string]int64{}
			for client, run := range clients {
				run(t, p.Client, "http://"+serverAddr+"/"+client)
				for i := range n {
					want[fmt.Sprintf("GET /%s/%d 200", client, i)] = 1
				}
				want["GET /"+client+"/none 404"], want["POST /"+client+"/post 200"] = 1, 1
			}
			settle(t, p)
			losses := c.Losses(t)
			e := measured("httpflow", p, c.Stop(t), "http_version", "1.1")
			equalCounts(t, "the clients' requests", e.client.SumBy("count", "method", "path", "status_code"), want)
			equalCounts(t, "the server's requests", e.server.SumBy("count", "method", "path", "status_code"), want)
			equalCounts(t, "bytes at both ends", e.client.SumBy("client_sent", "path"), e.server.SumBy("client_sent", "path"))
			equalCounts(t, "bytes at both ends", e.client.SumBy("server_sent", "path"), e.server.SumBy("server_sent", "path"))
			for _, name := range []string{"curl", "node"} {
				sent := e.client.Where("process_name", name)
				equal(t, "requests of "+name, sent.Sum("count"), n+2)
			}
			if t.Failed() {
				t.Logf("what it counted as lost: %v", losses)
			}
		})
	}
}

// command is a client that another program is.
func command(argv ...string) func(*testing.T, *netlab.Namespace, string) {
	return func(t *testing.T, ns *netlab.Namespace, url string) {
		t.Helper()
		cmd := exec.Command(argv[0], append(argv[1:], url, "20")...)
		cmd.Dir = t.TempDir()
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		ns.Start(t, cmd)
		defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%s: %v\n%s", argv[0], err, out.String())
		}
	}
}

// serve is a server that another program is.
func serve(argv ...string) func(*testing.T, *netlab.Namespace) {
	return func(t *testing.T, ns *netlab.Namespace) {
		t.Helper()
		host, port, _ := net.SplitHostPort(serverAddr)
		cmd := exec.Command(argv[0], append(argv[1:], host, port)...)
		ns.Start(t, cmd)
		awaitSocket(t, ns)
	}
}

func serveGo(t *testing.T, ns *netlab.Namespace) {
	t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "none") {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write(make([]byte, 3000))
	})}
	go server.Serve(ns.Listen(t, "tcp", serverAddr))
	t.Cleanup(func() { server.Close() })
}

func goClient(t *testing.T, ns *netlab.Namespace, url string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		return ns.TryDial(network, addr)
	}}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	ask := func(method, path string, body io.Reader) {
		req, _ := http.NewRequest(method, url+path, body)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	for i := range 20 {
		ask(http.MethodGet, "/"+strconv.Itoa(i), nil)
	}
	ask(http.MethodGet, "/none", nil)
	ask(http.MethodPost, "/post", strings.NewReader(strings.Repeat("g", 30_000)))
}
