package main

import (
	"fmt"
	"strings"
	"testing"
)

// httpLine is a row of httpflow.
func httpLine(inode int, process, direction string, status, n, read, written int) string {
	fields := fmt.Sprintf(`"path":"/s.html","status_code":%d,"count":%d,"bytes_read":%d,"bytes_written":%d`,
		status, n, read, written)
	return strings.Replace(line(inode, process, direction, "*", "81", fields), `"netflow"`, `"httpflow"`, 1)
}

func TestCountSumsExchanges(t *testing.T) {
	truth := truth{
		ports:  []string{"81"},
		client: clientEnd("wrk", expectation{bytesRead: exactly(1690), bytesWritten: exactly(132)}),
		server: serverEnd("nginx", expectation{bytesRead: exactly(132), bytesWritten: exactly(1690)}),
	}
	truth.addRequests(2, 1)
	out := line(clientInode, "wrk", "outgoing", "*", "81", `"bytes_read":1690,"bytes_written":132`) +
		line(serverInode, "nginx", "incoming", "81", "*", `"bytes_read":132,"bytes_written":1690`) +
		httpLine(clientInode, "wrk", "outgoing", 200, 2, 1690, 132) +
		httpLine(serverInode, "nginx", "incoming", 200, 1, 66, 845) +
		httpLine(serverInode, "nginx", "incoming", 404, 1, 66, 845)
	sums, err := count(strings.NewReader(out), truth, clientInode, serverInode)
	if err != nil {
		t.Fatal(err)
	}
	if bad := differing(compare("client", truth.client.want, sums.client)); len(bad) != 0 {
		t.Errorf("client: %v", bad)
	}
	if bad := differing(compare("server", truth.server.want, sums.server)); len(bad) != 0 {
		t.Errorf("server: %v", bad)
	}
	if sums.client[odd] != 0 || sums.server[odd] != 1 {
		t.Errorf("of a wrong status: %d and %d, want 0 and 1", sums.client[odd], sums.server[odd])
	}
}

func TestH2Outcome(t *testing.T) {
	const out = `finished in 250.5ms, 4000.00 req/s, 2.70MB/s
requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 642.75KB (658180) total, 10.92KB (11180) headers (space savings 93.92%), 597.66KB (612000) data
`
	o, err := h2Outcome(&finished{clientOut: out, amount: amount{n: 1000}})
	if err != nil || o.ops != 1000 || o.wall != 0.2505 || o.failed != "" {
		t.Fatalf("%+v, %v", o, err)
	}
	if c := o.truth.client.want; c[bytesRead] != exactly(658180) || c[exchanges] != exactly(1000) {
		t.Errorf("client: %v", c)
	}
	if _, err := h2Outcome(&finished{clientOut: "no connection"}); err == nil {
		t.Error("text passed for a report")
	}
}

func TestDNSOutcomeDistrustsTheLoad(t *testing.T) {
	f := &finished{
		clientOut:    `{"mode":"dns-client","ops":5,"sent_packets":5,"received_packets":5,"rcodes":{"0":5}}`,
		clientCounts: kernelCounts{"UdpOutDatagrams": 5},
		serverCounts: kernelCounts{"UdpInDatagrams": 5, "UdpOutDatagrams": 5},
	}
	o, err := dnsOutcome(f)
	if err != nil || o.failed != "" || o.truth.server.want[exchanges] != exactly(5) {
		t.Errorf("%+v, %v", o, err)
	}
	f.clientOut = strings.Replace(f.clientOut, `{"0":5}`, `{"0":4,"-1":1}`, 1)
	if o, _ = dnsOutcome(f); !strings.Contains(o.failed, "good answers") {
		t.Errorf("failed: %q", o.failed)
	}
}
