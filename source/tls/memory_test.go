package tls

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"weft/protocol"
	"weft/record"
)

const nodeServer = `
const https = require("https"), http2 = require("http2"), fs = require("fs");
const pem = fs.readFileSync(process.argv[1]);
const answer = (q, r) => {
	let b = ""; q.on("data", d => b += d); q.on("end", () => r.end("hello from " + q.url + b));
};
const s = process.argv[2] == "2" ? http2.createSecureServer({ key: pem, cert: pem }, answer)
	: https.createServer({ key: pem, cert: pem, maxVersion: "TLSv" + process.argv[2] }, answer);
s.listen(0, "127.0.0.1", () => console.log(s.address().port));
`

// It sends n requests over four connections, and to a plain server between
// them, so that TLS and clear sockets mix on the one thread.
const nodeClient = `
const https = require("https"), http = require("http"), readline = require("readline");
const [port, n, plain] = process.argv.slice(1).map(Number);
const agent = new https.Agent({ keepAlive: true, maxSockets: 4 });
const clear = new http.Agent({ keepAlive: true, maxSockets: 2 });
readline.createInterface({ input: process.stdin }).once("line", async () => {
	const get = (m, o) => new Promise((ok, no) => {
		const q = m.request(o, r => { r.on("data", () => {}); r.on("end", ok); });
		q.on("error", no); q.end(o.body);
	});
	let all = [];
	for (let i = 0; i < n; i++) {
		all.push(get(https, { port, host: "127.0.0.1", path: "/r" + i + "x", method: "POST", body: "body",
			agent, rejectUnauthorized: false }));
		all.push(get(http, { port: plain, host: "127.0.0.1", path: "/clear" + i, agent: clear }));
		if (i % 8 == 7) await Promise.all(all);
	}
	await Promise.all(all);
	process.exit(0);
});
`

const clearServer = `
const s = require("http").createServer((q, r) => r.end("clear"));
s.listen(0, "127.0.0.1", () => console.log(s.address().port));
`

// node gives OpenSSL memory to work on and moves the records itself.
func TestNode(t *testing.T) {
	need(t, "node")
	pem := certificate(t)
	plain, _ := serve(t, "node", "-e", clearServer)
	for _, version := range versions() {
		t.Run("TLS "+version, func(t *testing.T) {
			port, _ := serve(t, "node", "-e", nodeServer, pem, version)
			b := begin(t)
			const n = 40
			client(t, b, "node", "-e", nodeClient, fmt.Sprint(port), fmt.Sprint(n), fmt.Sprint(plain))
			all := b.end()
			for _, d := range []record.Direction{record.Outgoing, record.Incoming} {
				wantRequests(t, d.String(), on(all, port, d), "POST /r%dx HTTP/1.1\r\n", "hello from /r", n)
			}
			samePlaintext(t, all, port)
			if clear := append(on(all, plain, record.Outgoing), on(all, plain, record.Incoming)...); len(clear) > 0 {
				t.Errorf("plaintext was tied to a connection without TLS: %+v", clear[0].info)
			}
		})
	}
}

// A connection that was open before the source came is tied at the next write.
func TestNodeJoined(t *testing.T) {
	need(t, "node", "curl")
	pem := certificate(t)
	port, _ := serve(t, "node", "-e", nodeServer, pem, "1.3")
	peer := build(t, "local")
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	sockets := liveSockets(t)
	d := talk(t, peer, "steps", url)
	d.step() // the first request, before
	b := beginWith(t, sockets)
	for range 5 {
		d.step()
	}
	d.end()
	all := b.end()
	for _, d := range []record.Direction{record.Outgoing, record.Incoming} {
		conns := on(all, port, d)
		req := sideBytes(conns, protocol.Client)
		for i := 1; i <= 5; i++ {
			if n := bytes.Count(req, []byte(fmt.Sprintf("GET /step%d ", i))); n != 1 {
				t.Errorf("%v: request %d was seen %d times", d, i, n)
			}
		}
		if len(conns) != 1 || !conns[0].info.Joined {
			t.Errorf("%v: wants one joined connection, got %d", d, len(conns))
		}
	}
}

const asyncioServer = `
import asyncio, ssl, sys
async def serve(r, w):
    while True:
        try: head = await r.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError: return w.close()
        body = b"hello from " + head.split()[1]
        w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await w.drain()
async def main():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1])
    s = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=c)
    print(s.sockets[0].getsockname()[1], flush=True)
    await s.serve_forever()
asyncio.run(main())
`

// asyncio works on memory too, with the system's libcrypto, whose BIO_write is
// watched in this process from its first handshake on.
func TestAsyncio(t *testing.T) {
	need(t, "python3", "curl")
	pem := certificate(t)
	port, _ := serve(t, "python3", "-c", asyncioServer, pem)
	b := begin(t)
	const n = 20
	for range 3 { // some connections at a time, so that their records mix
		args := []string{"-s", "--cacert", pem, "-Z", "--parallel-max", "4", "--parallel-immediate"}
		run(t, "curl", append(args, urls(port, n)...)...)
	}
	all := b.end()
	incoming := on(all, port, record.Incoming)
	req := string(sideBytes(incoming, protocol.Client))
	for i := range n {
		if c := strings.Count(req, fmt.Sprintf("GET /r%dx ", i)); c != 3 {
			t.Errorf("request %d was seen %d times of 3", i, c)
		}
	}
	if c := strings.Count(string(sideBytes(incoming, protocol.Server)), "hello from /r"); c != 3*n {
		t.Errorf("%d answers of %d were seen", c, 3*n)
	}
	samePlaintext(t, all, port)
}
