package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"weft/limit"
)

// load reads a file's text with flags and environment, as weft run would.
func load(t testing.TB, file string, environ []string, flags ...[2]string) (*Config, error) {
	t.Helper()
	f := &Flags{}
	if file != "" {
		f.ConfigFile = filepath.Join(t.TempDir(), "ebpf.conf")
		if err := os.WriteFile(f.ConfigFile, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, given := range flags {
		setFlag(t, f, given[0], given[1])
	}
	return Load(f, environ)
}

func setFlag(t testing.TB, f *Flags, name, value string) {
	t.Helper()
	for _, flag := range f.All() {
		if flag.Name == NormalFlag(name) {
			if err := flag.Set(value); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no flag --%s", name)
}

func mustLoad(t testing.TB, file string, environ []string, flags ...[2]string) *Config {
	t.Helper()
	c, err := load(t, file, environ, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each testdata/*.good.conf loads, with the warnings of the .txt beside it.
func TestGoodFiles(t *testing.T) {
	for _, name := range testFiles(t, "*.good.conf", 5) {
		c, err := LoadFile(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		compare(t, name, c.Warnings)
	}
}

// Each testdata/*.bad.conf gives exactly the messages of the .txt beside it.
func TestBadFiles(t *testing.T) {
	for _, name := range testFiles(t, "*.bad.conf", 7) {
		_, err := LoadFile(name)
		if err == nil {
			t.Errorf("%s: loaded", name)
			continue
		}
		compare(t, name, strings.Split(err.Error(), "\n"))
	}
}

func testFiles(t *testing.T, pattern string, least int) []string {
	t.Chdir("testdata") // so that the messages hold the bare file name
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) < least {
		t.Fatalf("%d files %s, want %d (%v)", len(names), pattern, least, err)
	}
	return names
}

// compare reads name.txt; WEFT_UPDATE=1 writes it instead.
func compare(t *testing.T, name string, got []string) {
	t.Helper()
	file := strings.TrimSuffix(name, ".conf") + ".txt"
	text := strings.Join(append(got, ""), "\n")
	if os.Getenv("WEFT_UPDATE") != "" && len(got) > 0 {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%swant\n%s", name, text, want)
	}
}

// The bar of the product: ten mistakes, ten messages, the right lines.
func TestTenMistakes(t *testing.T) {
	_, err := LoadFile("testdata/ten.bad.conf")
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) < 10 {
		t.Fatalf("got %d problems: %v", len(problems), err)
	}
	text, err := os.ReadFile("testdata/ten.bad.conf")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, p := range problems {
		key := p.Key[strings.LastIndex(p.Key, ".")+1:]
		if !strings.Contains(lines[p.Line-1], key) {
			t.Errorf("%s: line %d is %q", p, p.Line, lines[p.Line-1])
		}
	}
}

func TestUserDocuments(t *testing.T) {
	for _, name := range []string{"user-en", "user-zh"} {
		c, err := LoadFile("testdata/" + name + ".good.conf")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"DK_BPFTRACE_SERVICE", "DD_SERVICE", "OTEL_SERVICE_NAME"}
		if !reflect.DeepEqual(c.Trace.EnvList, want) || !reflect.DeepEqual(c.Sinks, []string{"datakit"}) ||
			!c.Netlog.Metric || c.Netlog.Log || c.Interval != time.Minute || c.DataKit.Server != defaultServer {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// One file that uses everything a block has, args and envs too.
func TestFullFile(t *testing.T) {
	c, err := LoadFile("testdata/full.good.conf")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string][2]any{
		"server":   {c.DataKit.Server, "http://10.0.0.9:9529"},
		"sinks":    {c.Sinks, []string{"datakit"}},
		"interval": {c.Interval, 5 * time.Second},
		"port":     {c.Netflow.EphemeralPort, 10001},
		"loopback": {c.Netflow.Loopback, true},
		"service":  {c.Service, "from-envs"},
		"root":     {c.HostRoot, "/rootfs"},
		"proc":     {c.HostProc, "/rootfs/proc"},
		"environ":  {c.Environ, []string{"GODEBUG=x=1"}},
		"filter":   {c.Netlog.Blacklist, "tcp"},
		"net":      {c.Limits.Net, int64(1.5 * (1 << 20))},
		"mem":      {c.Limits.Mem, int64(4e9)},
		"cpu":      {c.Limits.CPU, 2.0},
		"tags":     {c.Tags, map[string]string{"from": "args", "and": "more", "a.b": "c"}},
		"listen":   {c.Listen, ""},
		"rate":     {c.SamplingRate, "0.5"},
		"linker":   {c.Linker, Linker{Enabled: true, DBPath: "/var/spans", Window: 30 * time.Second, SamplingRate: 1}},
	}
	for name, got := range checks {
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: %v, want %v", name, got[0], got[1])
		}
	}
}

// The reference's own form of a file sets the same tree.
func TestChildFile(t *testing.T) {
	c, err := LoadFile("testdata/child.good.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := mustLoad(t, "", nil)
	want.Interval, want.Hostname, want.Service = 90*time.Second, "node-1", "mesh"
	want.Tags = map[string]string{"zone": "a", "team": "net"}
	want.EnabledPlugins = []string{"ebpf-net", "ebpf-trace", "bpf-netlog"}
	want.Sinks, want.DataKit.Server = []string{"datakit"}, "http://10.0.0.1:9529/base"
	want.PidFile, want.Log, want.LogLevel, want.PprofPort = "/run/weft.pid", "/var/log/weft.log", "debug", "6061"
	want.Netflow.IPv6Disabled = true
	want.L7.Enabled, want.L7.Disabled = []string{"httpflow", "httpflow-tls"}, []string{}
	want.Netlog = Netlog{Blacklist: "udp", Log: true, MetricOnly: true, Protocols: []string{"http"}}
	want.Trace = Trace{
		Server: "http://10.0.0.2:9529", AllProcess: true, EnvList: []string{"DD_SERVICE"}, EnvBlacklist: []string{"NO_TRACE"},
		NameList: []string{"nginx"}, NameBlacklist: []string{"sshd"}, Protos: []string{"http", "mysql"},
		ProtosBlacklist: []string{"redis"}, ConvToDDTrace: true,
	}
	want.K8s = K8s{
		URL: "https://10.96.0.1:443", BearerToken: "/token", WorkloadLabels: []string{"app"}, WorkloadLabelPrefix: "k8s_",
	}
	want.Limits = Limits{CPU: 2, Mem: 4 << 30, Net: 100e6, Action: "exit"}
	want.Tables = limit.Tables{Side: 16384, ExchangeRows: 65536, Names: 65536, Queue: 65536, Buffer: 64 << 20}
	want.ContainerEndpoints = []string{"unix:///run/containerd/containerd.sock"}
	want.StateDir, want.Linker.DBPath = c.StateDir, c.Linker.DBPath
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestUnreadableFile(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "missing"), t.TempDir()} {
		if _, err := LoadFile(name); err == nil || !strings.HasPrefix(err.Error(), "read the configuration: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
