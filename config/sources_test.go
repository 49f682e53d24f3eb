package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// flag > block args > environment > block envs > file > default.
func TestPrecedence(t *testing.T) {
	file := "[[inputs.ebpf]]\nservice = \"file\"\n"
	envs := `envs = ["ENV_INPUT_EBPF_SERVICE=envs"]` + "\n"
	args := `args = ["--service", "args"]` + "\n"
	env := []string{"ENV_INPUT_EBPF_SERVICE=env"}
	flag := [2]string{"service", "flag"}
	tests := []struct {
		file  string
		env   []string
		flags [][2]string
		want  string
	}{
		{"", nil, nil, "ebpf"},
		{file, nil, nil, "file"},
		{file + envs, nil, nil, "envs"},
		{file + envs, env, nil, "env"},
		{file + envs + args, env, nil, "args"},
		{file + envs + args, env, [][2]string{flag}, "flag"},
		{file, []string{"ENV_INPUT_EBPF_SERVICE= "}, nil, "file"},
	}
	for _, tt := range tests {
		if got := mustLoad(t, tt.file, tt.env, tt.flags...).Service; got != tt.want {
			t.Errorf("%+v: %q, want %q", tt, got, tt.want)
		}
	}
}

// Setting one key in a higher place leaves the others of the lower one.
func TestMergeKeepsTheRest(t *testing.T) {
	file := "[[inputs.ebpf]]\nservice = \"file\"\ninterval = \"7s\"\nenabled_plugins = [\"bpf-netlog\"]\n" +
		"[inputs.ebpf.tags]\na = \"file\"\nb = \"file\"\n"
	c := mustLoad(t, file, []string{"ENV_INPUT_EBPF_SERVICE=env", "ENV_INPUT_EBPF_TAGS=b=env,c=env"},
		[2]string{"tags", "c=flag;d=x=y"})
	want := map[string]string{"a": "file", "b": "env", "c": "flag", "d": "x=y"}
	if c.Service != "env" || c.Interval != 7*time.Second || !reflect.DeepEqual(c.Tags, want) ||
		!reflect.DeepEqual(c.EnabledPlugins, []string{"bpf-netlog"}) {
		t.Errorf("%+v", c)
	}
}

// Every key gives the same tree through the file, each variable and each flag.
func TestEverySpelling(t *testing.T) {
	for _, k := range keys() {
		if k.FileOnly || k.bind.typ == "table" {
			continue
		}
		text := strings.NewReplacer(`["`, "", `"]`, "", `", "`, " , ", `"`, "", "[", "", "]", "").Replace(k.sampleValue())
		if text == "" {
			continue
		}
		want := mustLoad(t, "[[inputs."+string(k.Block)+"]]\n"+k.Name+" = "+k.sampleValue()+"\n", nil)
		for _, name := range k.envNames() {
			if got := mustLoad(t, "", []string{name + "=" + text}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s=%s: got\n%+v\nwant\n%+v", name, text, got, want)
			}
		}
		for _, name := range k.flagNames() {
			if got := mustLoad(t, "", nil, [2]string{name, text}); !reflect.DeepEqual(got, want) {
				t.Errorf("--%s %s: got\n%+v\nwant\n%+v", name, text, got, want)
			}
		}
	}
}

// The names that users of the reference have in their scripts and manifests.
func TestReferenceNames(t *testing.T) {
	flags := `datakit-apiserver trace-server hostname interval pidfile log log-level service tags enabled
		container-endpoints
		netlog-metric netlog-log netlog-protocols ephemeral_port ephemeral-port l7net-enabled l7net-disabled ipv6-disabled
		pprof-host pprof-port trace-protos trace-protos-blacklist trace-env-list trace-name-list trace-env-blacklist
		trace-name-blacklist conv-to-ddtrace res-cpu res-mem res-bandwidth res-net sampling-rate sampling-rate-ptsperminute
		trace-allprocess loopback sink state-dir listen udp`
	vars := `INTERVAL CPU_LIMIT MEM_LIMIT NET_LIMIT WORKLOAD_LABELS WORKLOAD_LABEL_PREFIX ENABLED_PLUGINS L7NET_ENABLED
		PPROF_HOST PPROF_PORT NETLOG_BLACKLIST NETLOG_METRIC NETLOG_LOG NETLOG_METRIC_ONLY TRACE_SERVER
		TRACE_ALL_PROCESS
		TRACE_ENV_LIST TRACE_ENV_BLACKLIST TRACE_NAME_LIST TRACE_NAME_BLACKLIST CONV_TO_DDTRACE IPV6_DISABLED
		EPHEMERAL_PORT SAMPLING_RATE SAMPLING_RATE_PTSPERMIN`
	others := `ENV_NETLOG_BLACKLIST ENV_NETLOG_METRIC ENV_NETLOG_LOG ENV_NETLOG_METRIC_ONLY DKE_K8S_URL
		DKE_K8S_BEARER_TOKEN
		DKE_K8S_BEARER_TOKEN_PATH DKE_K8S_WORKLOAD_LABELS DKE_K8S_WORKLOAD_LABEL_PREFIX DKE_NETLOG_NET_FILTER
		HOST_ROOT HOST_PROC ENV_INPUT_EBPFTRACE_DB_PATH ENV_INPUT_EBPFTRACE_USE_APP_TRACE_ID ENV_INPUT_EBPFTRACE_WINDOW
		ENV_INPUT_EBPFTRACE_SAMPLING_RATE`
	s := newSchema()
	for _, f := range strings.Fields(flags) {
		if s.flag[NormalFlag(f)] == nil {
			t.Errorf("no flag --%s", f)
		}
	}
	names := strings.Fields(others)
	for _, v := range strings.Fields(vars) {
		names = append(names, "ENV_INPUT_EBPF_"+v)
	}
	for _, v := range names {
		if s.env[v] == nil {
			t.Errorf("no variable %s", v)
		}
	}
}

// No two keys may share a name.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, k := range keys() {
		names := append(k.envNames(), k.Child...)
		for _, f := range k.flagNames() {
			names = append(names, "--"+f)
		}
		for _, n := range names {
			if other, twice := seen[n]; twice {
				t.Errorf("%s is a name of %s and %s", n, other, k.id())
			}
			seen[n] = k.id()
		}
	}
}

func TestNewVariableWins(t *testing.T) {
	both := []string{"ENV_INPUT_EBPF_NETLOG_LOG=true", "ENV_NETLOG_LOG=false"}
	for range 2 {
		if !mustLoad(t, "", both).Netlog.Log {
			t.Errorf("%v: the old name won", both)
		}
		slices.Reverse(both)
	}
}

func TestMistakesOutsideTheFile(t *testing.T) {
	_, err := load(t, "", []string{
		"ENV_INPUT_EBPF_INTERVAL=1", "ENV_INPUT_EBPF_UDP=ja", "ENV_NETLOG_LOG=2", "ENV_INPUT_EBPF_UPD=1",
		"ENV_INPUT_EBPF_MAX_FLOWS=many", "ENV_INPUT_EBPF_SINKS=stdout,kafka",
	}, [2]string{"res-mem", "4"}, [2]string{"tags", "a=1,a=2,b"}, [2]string{"listen", "9530"},
		[2]string{"trace-server", "http://"}, [2]string{"datakit-apiserver", "host:99999"})
	want := []string{
		`ENV_INPUT_EBPF_UPD: warning: unknown variable (did you mean "ENV_INPUT_EBPF_UDP"?)`,
		`ENV_INPUT_EBPF_INTERVAL: "1" is not a duration; allowed: a duration of 1s or longer, such as "60s"`,
		`ENV_INPUT_EBPF_UDP: "ja" is not a boolean; allowed: true, t, 1, yes, on, false, f, 0, no, off`,
		`ENV_INPUT_EBPF_MAX_FLOWS: "many" is not an integer; allowed: an integer from 1024 to 16777216`,
		`ENV_NETLOG_LOG: "2" is not a boolean; allowed: true, t, 1, yes, on, false, f, 0, no, off`,
		`ENV_INPUT_EBPF_SINKS: "kafka" is not known; allowed: stdout, screen, datakit`,
		`--res-mem: "4" is not a size; allowed: a number with one of K KB KiB M MB MiB G GB GiB, such as "4GiB"`,
		`--tags: the tag "a" is given twice, as "1" and "2"; allowed: one value for each tag`,
		`--tags: "b" is not a tag; allowed: key=value`,
		`--listen: "9530" is not an address; allowed: host:port, such as "127.0.0.1:9530", or "off"`,
		`--trace-server: "http://" has no host; allowed: host:port or an http:// or https:// URL, such as "127.0.0.1:9529"`,
		`--datakit-apiserver: "host:99999" has a bad port; ` +
			`allowed: host:port or an http:// or https:// URL, such as "127.0.0.1:9529"`,
	}
	if err == nil {
		t.Fatal("loaded")
	}
	if got := strings.Split(err.Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
