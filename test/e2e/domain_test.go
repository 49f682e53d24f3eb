package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// A connection has the name by which its process asked for the address, also
// where that name is an alias of the one that has it.
func TestDomainOfResolvedName(t *testing.T) {
	needs(t, "dnsmasq", "nginx", "curl", "unshare")
	p := netlab.NewPair(t)
	startDNS(t, p.Server, "--host-record=web.example.test,"+netlab.ServerIP, "--cname=alias.example.test,web.example.test")
	startNginx(t, p.Server, serverAddr)
	c := start(t, "--interval", "1s")
	asked := map[string]string{"/file?1": "web.example.test", "/file?2": "alias.example.test"}
	for path, name := range asked {
		curlByName(t, p.Client, "http://"+name+":9000"+path)
	}
	rows := c.Await(t, 10*time.Second, func(rs collector.Rows) bool {
		return measured("httpflow", p, rs).server.Sum("count") == 2 && measured("dnsflow", p, rs).server.Sum("count") == 2 &&
			of(p, rs, "server_port", "9000").client.Sum("tcp_closed") == 2
	})
	for _, name := range asked {
		flow := of(p, rows, "process_name", "curl", "dst_domain", name, "transport", "tcp").client
		equal(t, "netflow's connections to "+name, flow.Sum("tcp_closed"), 1)
		request := measured("httpflow", p, rows, "process_name", "curl", "dst_domain", name, "path", "/file").client
		equal(t, "httpflow's requests to "+name, request.Sum("count"), 1)
		query := measured("dnsflow", p, rows, "process_name", "curl", "query", name, "qtype", "A", "rcode", "0").client
		equal(t, "dnsflow's queries of "+name, query.Sum("count"), 1)
	}
	c.Stop(t)
}

// curlByName runs curl with a resolv.conf of its own, in a mount namespace.
func curlByName(t *testing.T, ns *netlab.Namespace, url string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, conf, "nameserver "+netlab.ServerIP+"\n")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec curl -4 -s -f --max-time 5 -o /dev/null "$1"`, conf, url)
	ns.Start(t, cmd)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("curl %s: %v", url, err)
	}
}
