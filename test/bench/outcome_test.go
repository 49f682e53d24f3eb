package main

import (
	"strings"
	"testing"
)

const snmp = `Tcp: RtoMin ActiveOpens PassiveOpens AttemptFails
Tcp: 200 33 0 0
Udp: InDatagrams OutDatagrams
Udp: 7 8
`

func TestParseSNMP(t *testing.T) {
	k := parseSNMP(snmp)
	if k["TcpActiveOpens"] != 33 || k["UdpInDatagrams"] != 7 || k["UdpOutDatagrams"] != 8 {
		t.Errorf("%v", k)
	}
	if d := k.since(kernelCounts{"TcpActiveOpens": 30}); d["TcpActiveOpens"] != 3 || d["UdpInDatagrams"] != 7 {
		t.Errorf("since: %v", d)
	}
}

func TestHTTPTruth(t *testing.T) {
	// wrk has read one answer of 845 bytes, the second was on its way.
	got, err := httpTruth("845 66 612\n845 66 612\n", wrkReport{Requests: 1, Bytes: 845},
		kernelCounts{"TcpActiveOpens": 3}, kernelCounts{"TcpPassiveOpens": 3})
	if err != nil {
		t.Fatal(err)
	}
	for figure, want := range map[string]bounds{
		established: {3, 3}, closed: {3, 3}, bytesWritten: {132, 132}, bytesRead: {845, 1690},
	} {
		if got.client.want[figure] != want {
			t.Errorf("client %s: %v, want %v", figure, got.client.want[figure], want)
		}
	}
	if got.server.want[bytesWritten] != exactly(1690) || got.server.want[bytesRead] != exactly(132) {
		t.Errorf("server: %v", got.server.want)
	}
	if _, err := httpTruth("845 66\n", wrkReport{}, nil, nil); err == nil {
		t.Error("a torn line passed")
	}
}

func TestIperfOutcome(t *testing.T) {
	o, err := iperfOutcome(&finished{clientOut: `{"end":{"sum_sent":{"bytes":2000000000,"seconds":1},
		"sum_received":{"bytes":1999999000,"seconds":1.1}}}`})
	if err != nil || o.ops < 1.99 || o.wall != 1.1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if o.truth.client.want[bytesWritten] != exactly(2000000037) {
		t.Errorf("client: %v", o.truth.client.want)
	}
	if o.truth.server.want[bytesRead] != (bounds{1999999037, 2000000037}) {
		t.Errorf("server: %v", o.truth.server.want)
	}
}

func TestChurnOutcomeDistrustsTheLoad(t *testing.T) {
	f := &finished{
		clientOut:    `{"mode":"tcp-churn","ops":5,"connections":5,"sent_bytes":320,"received_bytes":320}`,
		serverOut:    `{"ready":true}` + "\n" + `{"connections":5,"sent_bytes":320,"received_bytes":320}`,
		clientCounts: kernelCounts{"TcpActiveOpens": 5}, serverCounts: kernelCounts{"TcpPassiveOpens": 5},
	}
	o, err := churnOutcome(f)
	if err != nil || o.failed != "" || o.truth.server.want[established] != exactly(5) {
		t.Errorf("%+v, %v", o, err)
	}
	f.serverCounts["TcpPassiveOpens"] = 6
	if o, _ = churnOutcome(f); !strings.Contains(o.failed, "accepts") {
		t.Errorf("failed: %q", o.failed)
	}
}

func TestBoundCounts(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue
   0: 020012C6:0050 00000000:0000 0A 00000000:00000000
   1: 020012C6:0050 010012C6:9C40 01 00000000:00000000
   2: 00000000:24B9 00000000:0000 07 00000000:00000000
`
	if n := (bound{ports: []uint16{80, 9401}}).count(table); n != 2 {
		t.Errorf("%d sockets, want the listener and the UDP socket", n)
	}
}

func TestOpenTCP(t *testing.T) {
	const text = "sockets: used 201\nTCP: inuse 12 orphan 0 tw 400 alloc 29 mem 2\nUDP: inuse 3 mem 1\n"
	if n := openTCP(text); n != 12 {
		t.Errorf("%d", n)
	}
}
