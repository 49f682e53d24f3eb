package record

import (
	"net/netip"
	"testing"
)

func serverKey() FlowKey {
	return FlowKey{
		Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("192.0.2.7"), SrcPort: 8080,
		Transport: TCP, Direction: Incoming, PID: 9, Comm: "nginx", NetNS: 5,
	}
}

// check flattens f and compares the columns of want; nil means it is left out.
func check(t *testing.T, f Flow, want map[string]any) {
	t.Helper()
	f.Fill(4)
	var p Point
	if !newTestFlattener(t).Flatten(f, &p) {
		t.Fatalf("%T is not known", f)
	}
	got := values(&p)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %v, want %v", k, got[k], v)
		}
	}
}

func TestHttpflowColumns(t *testing.T) {
	h := &Httpflow{
		HTTPKey: HTTPKey{
			FlowKey: serverKey(), Method: "GET", Path: "/a", Version: "1.1", Status: 200, GRPCStatus: -1,
		},
		Identity: Identity{DstDomain: "client.example"},
		Count:    3, LatencySum: 600, DurationSum: 900, LatencyCount: 2, LatencyMax: 400,
		BytesRead: 10, BytesWritten: 70,
	}
	check(t, h, map[string]any{
		"source": "httpflow", "src_ip": "10.0.0.2", "dst_port": "*", "conn_side": "server", "client_ip": "192.0.2.7",
		"pid": "9", "process_name": "nginx", "netns": "NS(4:5)", "dst_nat_ip": "N/A", "server_ip_type": "private",
		"dst_domain": "client.example", "server_domain": "",
		"method": "GET", "path": "/a", "http_version": "1.1", "status_code": int64(200), "truncated": false,
		"tls": nil, "grpc_service": nil, "grpc_status_code": nil,
		"latency": int64(300), "duration": int64(450), "latency_max": int64(400), "count": int64(3),
		"bytes_read": int64(10), "bytes_written": int64(70), "client_sent": int64(10), "server_sent": int64(70),
	})
}

// A call that went well has grpc-status 0, which must not look like none; a
// request without an answer has no latency, and Fill may run again.
func TestHttpflowGRPC(t *testing.T) {
	h := &Httpflow{HTTPKey: HTTPKey{FlowKey: serverKey(), Path: "/a.B/C", Version: "2", TLS: true, GRPCService: "a.B"}}
	h.Direction = Outgoing
	h.Fill(4)
	check(t, h, map[string]any{
		"grpc_service": "a.B", "grpc_status_code": int64(0), "tls": true, "status_code": int64(0),
		"latency": int64(0), "duration": int64(0), "conn_side": "client",
	})
	h.GRPCStatus = -1
	check(t, h, map[string]any{"grpc_service": "a.B", "grpc_status_code": int64(-1)})
}

func TestDnsflowColumns(t *testing.T) {
	d := &Dnsflow{
		DNSKey: DNSKey{FlowKey: serverKey(), Rcode: 3, Query: "nope.example", QType: "AAAA"},
		Count:  2, LatencySum: 50, LatencyCount: 2, LatencyMax: 30, Answers: 4, Retries: 1,
	}
	d.Transport = UDP
	check(t, d, map[string]any{
		"source": "dnsflow", "transport": "udp", "pid": "9", "process_name": "nginx", "netns": "NS(4:5)",
		"conn_side": "server", "server_port": "8080", "client_port": "*",
		"rcode": int64(3), "query": "nope.example", "qtype": "AAAA", "latency": int64(25), "latency_max": int64(30),
		"count": int64(2), "answers": int64(4), "retries": int64(1), "truncated_responses": nil,
	})
	check(t, &Dnsflow{DNSKey: DNSKey{Rcode: RcodeTimeout}, Count: 2}, map[string]any{
		"rcode": int64(-1), "latency": int64(0), "count": int64(2), "query": nil, "qtype": nil,
		"src_ip": "", "family": "",
	})
}

// Enrichers reach into every flow the same way.
func TestFlowsShareKeyAndNames(t *testing.T) {
	for _, r := range Prototypes() {
		f, ok := r.(Flow)
		if !ok {
			if r.Category().Kind == "network" {
				t.Errorf("%s is no flow", r.Measurement())
			}
			continue
		}
		*f.Key() = serverKey()
		f.Names().DstDomain = "d"
		check(t, f, map[string]any{"src_port": "8080", "dst_domain": "d", "source": r.Measurement()})
	}
}
