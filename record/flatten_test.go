package record

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// row is a filled netflow row as a source and the enrichers make it.
func row() *Netflow {
	n := &Netflow{
		FlowKey: FlowKey{
			Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("93.184.216.34"), DstPort: 443,
			Transport: TCP, PID: 4242, Comm: "curl", NetNS: 4026531840,
		},
		Time: 1700000000000000000, BytesRead: 123456, BytesWritten: 789, PacketsRead: 90, PacketsWritten: 12,
		Identity: Identity{DstDomain: "example.com"},
		TCPStats: &TCPStats{
			Retransmits: 1, RTTSum: 3000, RTTVarSum: 900, RTTCount: 3, Established: 3, Closed: 3,
			ConnectSum: 6_000_000, ConnectCount: 2,
		},
	}
	n.Fill(4)
	return n
}

func newTestFlattener(t testing.TB) *Flattener {
	t.Helper()
	f, err := NewFlattener()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func values(p *Point) map[string]any {
	m := map[string]any{}
	for _, t := range p.Tags {
		m[t.Key] = t.Value
	}
	for _, f := range p.Fields {
		m[f.Key] = f.Value
	}
	return m
}

func TestFlattenNetflow(t *testing.T) {
	var p Point
	if !newTestFlattener(t).Flatten(row(), &p) {
		t.Fatal("netflow is not known")
	}
	if p.Name != "netflow" || p.Time != 1700000000000000000 || p.Category.Kind != "network" {
		t.Errorf("got %q %d %q", p.Name, p.Time, p.Category.Kind)
	}
	got := values(&p)
	want := map[string]any{
		"source": "netflow", "src_ip": "10.0.0.2", "dst_ip": "93.184.216.34", "src_port": "*", "dst_port": "443",
		"src_ip_type": "private", "dst_ip_type": "other", "family": "IPv4", "transport": "tcp",
		"direction": "outgoing", "pid": "4242", "process_name": "curl", "netns": "NS(4:4026531840)",
		"dst_domain": "example.com", "dst_nat_ip": "N/A", "dst_nat_port": "N/A", "conn_side": "client",
		"client_ip": "10.0.0.2", "client_port": "*", "client_ip_type": "private",
		"server_ip": "93.184.216.34", "server_port": "443", "server_ip_type": "other",
		"server_domain": "example.com",
		"bytes_read":    int64(123456), "bytes_written": int64(789),
		"packets_read": int64(90), "packets_written": int64(12),
		"client_sent": int64(789), "server_sent": int64(123456),
		"retransmits": int64(1), "rtt": int64(1000), "rtt_var": int64(300),
		"tcp_established": int64(3), "tcp_closed": int64(3), "tcp_connect_failed": int64(0),
		"connect_latency": int64(3_000_000),
	}
	if !reflect.DeepEqual(got, want) {
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%s: got %v, want %v", k, got[k], want[k])
			}
		}
		for k := range got {
			if _, ok := want[k]; !ok {
				t.Errorf("unexpected %s = %v", k, got[k])
			}
		}
	}
	if p.Tags[0].Key != "source" || p.Tags[1].Key != "src_ip" || p.Fields[0].Key != "bytes_read" {
		t.Errorf("not in declaration order: %v %v", p.Tags[:2], p.Fields[:1])
	}
	if u := p.Fields[len(p.Fields)-1]; u.Key != "connect_latency" || u.Unit != "ns" {
		t.Errorf("last field is %+v", u)
	}
}

func TestFlattenLeavesOutNilGroupAndEmpty(t *testing.T) {
	n := row()
	n.TCPStats = nil
	var p Point
	newTestFlattener(t).Flatten(n, &p)
	got := values(&p)
	for _, k := range []string{"rtt", "retransmits", "tcp_closed", "connect_latency", "connect_error"} {
		if v, ok := got[k]; ok {
			t.Errorf("%s = %v is there", k, v)
		}
	}
	if got["bytes_read"] != int64(123456) {
		t.Errorf("bytes_read = %v", got["bytes_read"])
	}
}

type other struct{ Netflow }

func TestFlattenUnknown(t *testing.T) {
	p := Point{Name: "before"}
	f := newTestFlattener(t)
	if f.Flatten(&other{}, &p) || f.Flatten((*Netflow)(nil), &p) || p.Name != "before" {
		t.Errorf("unknown records changed the point: %+v", p)
	}
}

func TestFlattenReusesMemory(t *testing.T) {
	f := newTestFlattener(t)
	var p Point
	f.Flatten(row(), &p)
	first := &p.Tags[0]
	tags, fields := len(p.Tags), len(p.Fields)
	p.AddTags([]Tag{{"host", "h"}})
	f.Flatten(row(), &p)
	if len(p.Tags) != tags || len(p.Fields) != fields || (cap(p.Tags) == tags && first != &p.Tags[0]) {
		t.Errorf("second use: %d tags, %d fields", len(p.Tags), len(p.Fields))
	}
}

func TestAddTagsKeepsOwn(t *testing.T) {
	p := Point{Tags: []Tag{{"host", "mine"}, {"pid", "1"}}}
	p.AddTags([]Tag{{"host", "theirs"}, {"service", "ebpf"}})
	want := []Tag{{"host", "mine"}, {"pid", "1"}, {"service", "ebpf"}}
	if !reflect.DeepEqual(p.Tags, want) {
		t.Errorf("got %v", p.Tags)
	}
}

// group and wide cover the kinds that netflow does not use.
type group struct {
	Inner string `tag:"inner" help:"h"`
}

type wide struct {
	group
	*wideGroup
	I int32   `field:"i" unit:"count" help:"h"`
	U uint16  `field:"u" unit:"B" help:"h"`
	F float32 `field:"f" unit:"ns" help:"h"`
	B bool    `field:"b" unit:"bool" help:"h"`
	S string  `field:"s" help:"h" omit:"empty"`
}

type wideGroup struct {
	G uint64 `field:"g" unit:"us" help:"h"`
}

func (*wide) Measurement() string { return "wide" }
func (*wide) Timestamp() int64    { return 1 }
func (*wide) Category() Category  { return Category{} }

func TestFlattenKinds(t *testing.T) {
	f, err := newFlattener([]Record{&wide{}})
	if err != nil {
		t.Fatal(err)
	}
	var p Point
	f.Flatten(&wide{group: group{"x"}, wideGroup: &wideGroup{7}, I: -1, U: 2, F: 1.5, B: true}, &p)
	want := map[string]any{
		"inner": "x", "g": uint64(7), "i": int64(-1), "u": uint64(2), "f": 1.5, "b": true,
	}
	if got := values(&p); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestStructTagMistakes(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{struct{ A string }{}, "exactly one of the struct tags"},
		{struct {
			A string `tag:"a" field:"a" help:"h"`
		}{}, "exactly one of the struct tags"},
		{struct {
			A string `tag:"a" help:"h"`
			B int64  `field:"a" unit:"B" help:"h"`
		}{}, `"a" is declared twice`},
		{struct {
			group
			B string `tag:"inner" help:"h"`
		}{}, `"inner" is declared twice`},
		{struct {
			A string `tag:"a.b" help:"h"`
		}{}, "not lower_snake_case"},
		{struct {
			A string `tag:"a"`
		}{}, "help is missing"},
		{struct {
			A int64 `tag:"a" help:"h"`
		}{}, "a tag is a string"},
		{struct {
			A int64 `field:"a" unit:"parsec" help:"h"`
		}{}, `unit "parsec" is not one of`},
		{struct {
			A int64 `field:"a" help:"h"`
		}{}, `unit "" is not one of`},
		{struct {
			A string `field:"a" unit:"B" help:"h"`
		}{}, "text has no unit"},
		{struct {
			A int64 `field:"a" unit:"bool" help:"h"`
		}{}, "go together"},
		{struct {
			A []byte `field:"a" unit:"B" help:"h"`
		}{}, "cannot be a field"},
		{struct {
			A string `tag:"a" help:"h" omit:"zero"`
		}{}, "omit"},
		{struct {
			A string `tag:"a" help:"h" new:"yes"`
		}{}, "new"},
		{struct {
			a string `tag:"a" help:"h"`
		}{}, "not exported"},
	} {
		_, err := newPlan(reflect.TypeOf(c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: got %v, want %q", c.value, err, c.want)
		}
	}
}

func TestSchema(t *testing.T) {
	s, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if len(s) != len(Prototypes()) || s[0].Name != "netflow" || s[0].Tags[0].Name != "source" {
		t.Fatalf("got %+v", s)
	}
	for _, c := range s[0].Fields {
		if c.Name == "rtt" && (c.Unit != "us" || c.Type != "int64" || !c.Optional || c.New) {
			t.Errorf("rtt is %+v", c)
		}
		if c.Name == "packets_read" && (!c.New || c.Optional) {
			t.Errorf("packets_read is %+v", c)
		}
	}
}

func BenchmarkFlatten(b *testing.B) {
	f, n := newTestFlattener(b), row()
	var p Point
	b.ReportAllocs()
	for b.Loop() {
		f.Flatten(n, &p)
	}
}

func BenchmarkFill(b *testing.B) {
	n := row()
	b.ReportAllocs()
	for b.Loop() {
		n.Fill(4)
	}
}
