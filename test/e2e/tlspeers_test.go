package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// wgetClient is what the other clients are; wget links GnuTLS in Debian.
const wgetClient = `for i in $(seq 0 $(($1 - 1))); do echo "$0/$i"; done >list
head -c 30000 /dev/zero | tr '\0' g >body
get() { wget -q --no-check-certificate -O /dev/null "$@"; }
get -i list && { get $0/none; [ $? = 8 ]; } && get --post-file body $0/post`

// gnutlsSite is lighttpd with GnuTLS: every path is one file. Over HTTP/2 it
// answers a POST before it has come, which curl calls an error now and then.
const gnutlsSite = `
server.document-root = "DIR"
server.bind = "198.18.0.2"
server.port = 9000
server.modules = ("mod_gnutls", "mod_rewrite")
server.max-keep-alive-requests = 1000
server.feature-flags = ("server.h2proto" => "disable")
ssl.engine = "enable"
ssl.pemfile = "PEM"
url.rewrite-once = ("none" => "", "^" => "/file")`

// certificate makes a file with a key and a certificate of it.
func certificate(t *testing.T) string {
	t.Helper()
	pem := filepath.Join(t.TempDir(), "pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
		"-subj", "/CN=a.test", "-keyout", pem, "-out", pem+".cert").CombinedOutput()
	if err != nil {
		t.Fatalf("make a certificate: %v\n%s", err, out)
	}
	key, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(pem + ".cert")
	if err != nil {
		t.Fatal(err)
	}
	write(t, pem, string(cert)+string(key))
	return pem
}

// oldTLS is a directory with programs and libraries that Debian no longer has.
func oldTLS(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "weft-old-tls")
	if out, err := exec.Command("../load/old-tls.sh", dir).CombinedOutput(); err != nil {
		t.Skipf("node 16 and OpenSSL 1.1.1 are not to be had: %v\n%s", err, out)
	}
	return dir
}

// compile builds a C program of test/load.
func compile(t *testing.T, program, as string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), as)
	args = append([]string{"-O2", "-D_GNU_SOURCE", "-o", out, "../load/" + program + "/main.c"}, args...)
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %q: %v\n%s", args, err, text)
	}
	return out
}

// tlsPeers are programs with a TLS library each.
type tlsPeers struct {
	pem string
	// ctls is one C program by the library that it is linked with.
	ctls         map[string]string
	gcurl        string
	golang       string
	node, node16 string
}

func makeTLSPeers(t *testing.T) tlsPeers {
	t.Helper()
	const boring = "/usr/lib/x86_64-linux-gnu/android"
	old := oldTLS(t)
	within := func(dir, name string, version string) string {
		return compile(t, "ctls", name, filepath.Join(dir, "libssl.so."+version), filepath.Join(dir, "libcrypto.so."+version),
			"-Wl,--disable-new-dtags,-rpath,"+dir)
	}
	return tlsPeers{
		pem: certificate(t),
		ctls: map[string]string{
			"boringssl": within(boring, "ctls-boring", "0"), "openssl11": within(old, "ctls-old", "1.1"),
			"openssl3": compile(t, "ctls", "ctls-new", "-lssl", "-lcrypto"),
			"static":   compile(t, "ctls", "ctls-static", "-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"),
		},
		gcurl: compile(t, "gcurl", "gcurl", "-l:libcurl-gnutls.so.4"), golang: buildPeer(t),
		node: "node", node16: filepath.Join(old, "node16"),
	}
}

// clients are commands to which the URL with a prefix, and a number, are added.
func (p tlsPeers) clients() map[string][]string {
	all := map[string][]string{
		"curl": {"sh", "-c", curlClient}, "wget": {"sh", "-c", wgetClient}, "gcurl": {p.gcurl},
		"python": {"python3", "-c", pythonClient}, "node": {p.node, "-e", nodeClient}, "node16": {p.node16, "-e", nodeClient},
		"go": {p.golang, "get"},
	}
	for name, program := range p.ctls {
		all[name] = []string{"sh", "-c", program + ` get ` + netlab.ServerIP + ` 9000 "/${0##*/}" $1`}
	}
	return all
}

// servers are commands that serve HTTPS on serverAddr.
func (p tlsPeers) servers(t *testing.T) map[string][]string {
	t.Helper()
	site := t.TempDir()
	write(t, filepath.Join(site, "file"), strings.Repeat("x", 3000))
	conf := filepath.Join(site, "conf")
	write(t, conf, strings.NewReplacer("DIR", site, "PEM", p.pem).Replace(gnutlsSite))
	at := []string{netlab.ServerIP, "9000", p.pem}
	all := map[string][]string{
		"lighttpd": {"lighttpd", "-D", "-f", conf}, "go": {p.golang, "https", serverAddr, p.pem},
		"python": append([]string{"python3", "-c", pythonServer}, at...),
		"node":   append([]string{p.node, "-e", nodeServer}, at...),
		"node16": append([]string{p.node16, "-e", nodeServer}, at...),
	}
	for name, program := range p.ctls {
		all[name] = append([]string{program, "serve"}, at...)
	}
	return all
}

// Every request of every kind of client to every kind of server, each with its
// own TLS library, is there once on each side.
func TestTLSClientsAndServers(t *testing.T) {
	needs(t, "curl", "python3", "node", "npm", "gcc", "openssl", "wget", "lighttpd", "gnutls-serv")
	const n = 20
	peers := makeTLSPeers(t)
	for server, argv := range peers.servers(t) {
		t.Run(server, func(t *testing.T) {
			p := netlab.NewPair(t)
			p.Server.Start(t, exec.Command(argv[0], argv[1:]...))
			awaitSocket(t, p.Server)
			c := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
			peers.meet(t, p.Client, c)
			want := map[string]int64{}
			for client, argv := range peers.clients() {
				command(argv...)(t, p.Client, "https://"+serverAddr+"/"+client)
				for i := range n {
					want[fmt.Sprintf("GET /%s/%d 200", client, i)] = 1
				}
				want["GET /"+client+"/none 404"], want["POST /"+client+"/post 200"] = 1, 1
			}
			settle(t, p)
			losses := c.Losses(t)
			e := measured("httpflow", p, c.Stop(t), "tls", "true")
			equalCounts(t, "the clients' requests", later(e.client.SumBy("count", "method", "path", "status_code")), want)
			equalCounts(t, "the server's requests", later(e.server.SumBy("count", "method", "path", "status_code")), want)
			if t.Failed() {
				t.Logf("what it counted as lost: %v", losses)
			}
		})
	}
}

// meet lets the collector see the programs and libraries that were never run
// yet: what such a program does in its first milliseconds is not read
// (source/tls/README.md). Each client asks until all that it asks is seen, and
// that is left out of the comparison.
func (p tlsPeers) meet(t *testing.T, ns *netlab.Namespace, c *collector.Collector) {
	t.Helper()
	seen := func(rs collector.Rows, prefix string) (n int64) {
		for _, r := range rs.Where("source", "httpflow", "netns", ns.Tag, "tls", "true") {
			if strings.HasPrefix(r.Text("path"), prefix) {
				n += r.Field("count")
			}
		}
		return n
	}
	unmet := p.clients()
	for round := 0; len(unmet) > 0; round++ {
		if round == 5 {
			t.Fatalf("not met: %v", slices.Sorted(maps.Keys(unmet)))
		}
		at := fmt.Sprintf("/%s-%d-", first, round)
		for name, argv := range unmet {
			command(argv...)(t, ns, "https://"+serverAddr+at+name)
		}
		met := func(rs collector.Rows) bool {
			maps.DeleteFunc(unmet, func(name string, _ []string) bool { return seen(rs, at+name+"/") == 22 })
			return len(unmet) == 0
		}
		for deadline := time.Now().Add(3 * time.Second); !met(c.Rows()) && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// first is where the first requests go.
const first = "first"

// later leaves the first requests out.
func later(counts map[string]int64) map[string]int64 {
	maps.DeleteFunc(counts, func(key string, _ int64) bool { return strings.Contains(key, "/"+first+"-") })
	return counts
}

// gnutls-serv answers in HTTP/1.0, each request over a connection of its own.
func TestGnuTLSServer(t *testing.T) {
	needs(t, "gnutls-serv", "curl", "openssl")
	const n = 30
	pem := certificate(t)
	p := netlab.NewPair(t)
	p.Server.Start(t, exec.Command("gnutls-serv", "--http", "-q", "--x509certfile", pem, "--x509keyfile", pem,
		"-p", "9000"))
	awaitSocket(t, p.Server)
	c := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
	want := map[string]int64{}
	for i := range n {
		path := fmt.Sprintf("/r%d", i)
		p.Client.Output(t, "curl", "-sk", "-o", "/dev/null", "https://"+serverAddr+path)
		want[path+" 200"] = 1
	}
	settle(t, p)
	losses := c.Losses(t)
	rows := c.Stop(t)
	e := measured("httpflow", p, rows, "tls", "true")
	client, server := e.client.Where("process_name", "curl"), e.server.Where("process_name", "gnutls-serv")
	equalCounts(t, "curl's requests", client.SumBy("count", "path", "status_code"), want)
	equalCounts(t, "gnutls-serv's requests", server.SumBy("count", "path", "status_code"), want)
	equal(t, "hellos", measured("tlsflow", p, rows, "tls_version", "1.3").server.Sum("count"), n)
	if t.Failed() {
		t.Logf("what it counted as lost: %v", losses)
	}
}

// gRPC over TLS: every call, its kind and its status, at both ends.
func TestGRPCOverTLS(t *testing.T) {
	needs(t, "openssl")
	program := buildPeer(t)
	p := netlab.NewPair(t)
	p.Server.Start(t, exec.Command(program, "server", serverAddr, certificate(t)))
	awaitSocket(t, p.Server)
	// The server's program is the client's: it has its probes before that runs.
	c := start(t, "--interval", "1s", "--l7net-enabled", "httpflow,httpflow-tls")
	compareCalls(t, p, c, callGRPC(t, p, program, "tls"), "tls", "true")
}
