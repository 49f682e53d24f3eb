package screen

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"weft/ledger"
	"weft/record"
)

func point(t *testing.T, n *record.Netflow) record.Point {
	t.Helper()
	f, err := record.NewFlattener()
	if err != nil {
		t.Fatal(err)
	}
	var p record.Point
	n.Fill(4)
	if !f.Flatten(n, &p) {
		t.Fatal("netflow does not flatten")
	}
	return p
}

func curl(rx int64) *record.Netflow {
	return &record.Netflow{
		FlowKey: record.FlowKey{
			Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), DstPort: 80,
			Transport: record.TCP, PID: 42, Comm: "curl",
		},
		BytesRead: rx, BytesWritten: 78,
		TCPStats: &record.TCPStats{RTTSum: 31, RTTCount: 1, Established: 1, Closed: 1},
	}
}

func TestLinesShowTheFlow(t *testing.T) {
	var out bytes.Buffer
	led := ledger.New()
	s := New(&out, led.Stage("s"))
	failed := curl(0)
	failed.BytesWritten, failed.ConnectErrno, failed.Dst = 0, 111, netip.MustParseAddr("2001:db8::1")
	failed.TCPStats = &record.TCPStats{ConnectFailed: 2}
	batch := []record.Point{point(t, failed), point(t, curl(1_490_000)), {Name: "other"}}
	if err := s.Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "TIME") {
		t.Fatalf("want a heading and two flows:\n%s", out.String())
	}
	for i, want := range map[int]string{
		1: "curl                 42  tcp  10.0.0.1:*            → 10.0.0.2:80            " +
			"read 1.5MB   wrote 78B      rtt 31µs  1 opened  1 closed",
		2: "→ [2001:db8::1]:80       read 0B      wrote 0B       2 failed (ECONNREFUSED)",
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d:\n%s\nwant in it:\n%s", i, lines[i], want)
		}
	}
	got := led.Snapshot()[0]
	if got.In != 3 || got.Out != 2 || got.Dropped["not_shown"] != 1 {
		t.Errorf("ledger %+v", got)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestWriteErrorIsCounted(t *testing.T) {
	led := ledger.New()
	s := New(broken{}, led.Stage("s"))
	if err := s.Write(context.Background(), []record.Point{point(t, curl(1))}); err == nil {
		t.Error("no error from a broken terminal")
	}
	if got := led.Snapshot()[0]; got.Dropped["write_error"] != 1 || got.Out != 0 {
		t.Errorf("ledger %+v", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1.0kB", 1_490_000: "1.5MB", 5e13: "50.0TB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestLinesOfExchanges(t *testing.T) {
	f, err := record.NewFlattener()
	if err != nil {
		t.Fatal(err)
	}
	flow := curl(0).FlowKey
	http := &record.Httpflow{
		HTTPKey: record.HTTPKey{FlowKey: flow, Method: "GET", Path: "/a", Version: "1.1", Status: 404, GRPCStatus: -1},
		Count:   3, LatencySum: 6_000_000, LatencyCount: 3,
	}
	unanswered := &record.Httpflow{HTTPKey: record.HTTPKey{FlowKey: flow, Method: "PUT", Path: "/b"}, Count: 1}
	dns := &record.Dnsflow{DNSKey: record.DNSKey{FlowKey: flow, Rcode: -1, Query: "a.example", QType: "A"}, Count: 2}
	hello := &record.Tlsflow{TLSKey: record.TLSKey{FlowKey: flow, SNI: "b.example", ALPN: "h2", Version: "1.3"}, Count: 1}
	var out bytes.Buffer
	s := New(&out, ledger.New().Stage("s"))
	for i, c := range []struct {
		row  record.Flow
		want string
	}{
		{http, "http 10.0.0.1:*            → 10.0.0.2:80            3 × GET /a → 404  2ms"},
		{unanswered, "1 × PUT /b → no answer"},
		{dns, "dns  10.0.0.1:*            → 10.0.0.2:80            2 × A a.example → no answer"},
		{hello, "tls  10.0.0.1:*            → 10.0.0.2:80            1 × b.example  TLS 1.3 h2"},
	} {
		c.row.Fill(4)
		var p record.Point
		f.Flatten(c.row, &p)
		if err := s.Write(context.Background(), []record.Point{p}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%d: no %q in\n%s", i, c.want, out.String())
		}
		out.Reset()
	}
}

// A command cannot write to the terminal of who watches.
func TestCommands(t *testing.T) {
	f, err := record.NewFlattener()
	if err != nil {
		t.Fatal(err)
	}
	var batch []record.Point
	for _, r := range []record.Record{
		&record.Bash{Pid: "7", User: "alice", Cmd: "for i in 1; do\n\x1b[2J done"},
		&record.Exec{Event: "exit", Pid: "8", User: "bob", Cmd: "ls -l", Exe: "/bin/ls", ExecEnd: &record.ExecEnd{
			Duration: 1_500_000, ExecStatus: &record.ExecStatus{ExitCode: 2},
		}},
	} {
		var p record.Point
		if !f.Flatten(r, &p) {
			t.Fatalf("%T does not flatten", r)
		}
		batch = append(batch, p)
	}
	var out bytes.Buffer
	if err := New(&out, ledger.New().Stage("s")).Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  bash                  7  bash alice $ for i in 1; do  [2J done\n",
		"  ls                    8  exec bob  exit  ls -l  → 2  1.5ms\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, out.String())
		}
	}
}
