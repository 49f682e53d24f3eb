package agent

import (
	"net/netip"
	"testing"
	"time"

	"weft/aggregate"
	"weft/config"
	"weft/enrich/domain"
	"weft/enrich/selection"
	"weft/l7"
	"weft/l7/dnsflow"
	"weft/ledger"
	"weft/protocol"
	"weft/protocol/dns"
	"weft/record"
)

func flowBetween(src, dst string, sport, dport record.Port, d record.Direction) record.FlowKey {
	return record.FlowKey{
		Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: sport, DstPort: dport,
		Transport: record.TCP, Direction: d, PID: 42, Comm: "app", NetNS: 7,
	}
}

func TestHTTPRowSeesBytesFromTheLocalEnd(t *testing.T) {
	e := &protocol.Exchange{
		Protocol: "grpc", Version: "2", Method: "POST", Path: "/s/M", Status: 200, Start: 100, First: 400, End: 900,
		ReqBytes: 10, RespBytes: 2000, GRPC: &protocol.GRPC{Service: "s", Method: "M", Status: 5},
	}
	for _, c := range []struct {
		direction     record.Direction
		read, written int64
		sport, dport  record.Port
	}{
		{record.Outgoing, 2000, 10, 0, 80},
		{record.Incoming, 10, 2000, 40000, 0},
	} {
		info := &l7.Info{Flow: flowBetween("10.0.0.1", "10.0.0.2", 40000, 80, c.direction), TLS: true}
		r := httpRow(info.Flow.Collapsed(0), info.TLS, e)
		if r.BytesRead != c.read || r.BytesWritten != c.written || r.SrcPort != c.sport || r.DstPort != c.dport {
			t.Errorf("%v: %+v", c.direction, r)
		}
		if r.LatencySum != 300 || r.LatencyMax != 300 || r.DurationSum != 800 || r.LatencyCount != 1 || !r.TLS ||
			r.GRPCService != "s" || r.GRPCStatus != 5 {
			t.Errorf("%+v", r)
		}
	}
}

func TestHTTPRowWithoutAnswer(t *testing.T) {
	info := &l7.Info{Flow: flowBetween("10.0.0.1", "10.0.0.2", 40000, 80, record.Outgoing)}
	e := &protocol.Exchange{Protocol: "http", Method: "GET", Start: 5, End: 9, ReqBytes: 3}
	r := httpRow(info.Flow.Collapsed(32768), info.TLS, e)
	if r.Count != 1 || r.LatencyCount != 0 || r.LatencySum != 0 || r.DurationSum != 0 || r.GRPCStatus != -1 {
		t.Errorf("%+v", r)
	}
	if r.SrcPort != 0 {
		t.Errorf("port %d is ephemeral", r.SrcPort)
	}
	if kept := info.Flow.Collapsed(65536); kept.SrcPort != 40000 {
		t.Errorf("port %d, want it kept", kept.SrcPort)
	}
}

// testExchanges is an exchanges without its sources.
func testExchanges(t *testing.T, cfg *config.Config, rules selection.Rules) *exchanges {
	t.Helper()
	x := &exchanges{
		cfg: cfg, domains: domain.New(domain.Options{}), chosen: selection.New("/proc", rules, 1),
		http: aggregate.NewHTTPWindow(aggregate.HTTPOptions{}),
		dns:  aggregate.NewDNSWindow(aggregate.DNSOptions{Names: true}),
	}
	x.tracker = dnsflow.New(dnsflow.Options{Out: x.transaction}, ledger.New())
	return x
}

func TestTransactionBecomesARowAndAName(t *testing.T) {
	deny, err := selection.Parse(nil, []string{"name:app"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rules selection.Rules
		rows  int
	}{{selection.Rules{}, 2}, {deny, 0}} {
		x := testExchanges(t, &config.Config{L7: config.L7{DNSPorts: []int{53}}}, c.rules)
		flow := flowBetween("10.0.0.1", "10.0.0.53", 40000, 53, record.Outgoing)
		addr := netip.MustParseAddr("192.0.2.9")
		x.transaction(&dnsflow.Transaction{
			Flow: flow, Name: "a.example", Type: "A", Latency: 70, Answers: 2, Retries: 1, Truncated: true,
			Addrs: []dns.Addr{{IP: addr, TTL: 300}},
		})
		x.transaction(&dnsflow.Transaction{Flow: flow, Name: "b.example", Type: "A", Rcode: record.RcodeTimeout})
		// A process that L7 leaves out still teaches netflow its names.
		rows := x.dns.Flush(1)
		now := time.Now().UnixNano()
		if got := x.domains.Domain(7, 42, addr, now); got != "a.example" {
			t.Errorf("the address is known as %q", got)
		}
		if len(rows) != c.rows {
			t.Errorf("%d rows", len(rows))
		}
		for _, r := range rows {
			d := r.(*record.Dnsflow)
			if d.SrcPort != 0 || d.DstPort != 53 || d.Count != 1 {
				t.Errorf("%+v", d)
			}
			if answered := d.Query == "a.example"; answered && (d.LatencySum != 70 || d.LatencyCount != 1 || d.Answers != 2 ||
				d.Retries != 1 || d.Truncated != 1) || !answered && (d.LatencyCount != 0 || d.Rcode != -1) {
				t.Errorf("%+v", d)
			}
		}
	}
}

func TestLoopbackDNSIsKeptForTheResolver(t *testing.T) {
	resolver := netip.MustParseAddr("127.0.0.53")
	for _, c := range []struct {
		loopback bool
		server   string
		want     int64
	}{
		{false, "127.0.0.53", 1}, {false, "127.0.0.1", 0}, {true, "127.0.0.1", 1}, {false, "10.0.0.1", 1},
	} {
		led := ledger.New()
		x := testExchanges(t, &config.Config{Netflow: config.Netflow{Loopback: c.loopback}}, selection.Rules{})
		x.resolvers = resolvers{resolver}
		x.tracker = dnsflow.New(dnsflow.Options{Out: x.transaction}, led)
		src := "10.0.0.2"
		if netip.MustParseAddr(c.server).IsLoopback() {
			src = "127.0.0.1"
		}
		x.datagram(&dnsflow.Datagram{
			Flow: flowBetween(src, c.server, 40000, 53, record.Outgoing), Egress: true, Len: 29,
			Data: []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"),
		})
		var in int64
		for _, s := range led.Snapshot() {
			if s.Stage == "l7.dns" {
				in = s.In
			}
		}
		if in != c.want {
			t.Errorf("%+v: %d queries taken", c, in)
		}
	}
}
