package config

import (
	"reflect"
	"strings"
	"testing"

	"weft/config/value"
)

func TestSizes(t *testing.T) {
	tests := []struct {
		text string
		want int64 // 0: a mistake
	}{
		{"1K", 1000}, {"1KB", 1000}, {"1KiB", 1024}, {"2m", 2e6}, {"2mb", 2e6}, {"2mib", 2 << 20},
		{"4G", 4e9}, {"4GB", 4e9}, {"4GiB", 4 << 30}, {"4GIB", 4 << 30}, {"0.5KiB", 512}, {".5K", 500}, {"1.K", 1000},
		{"4", 0}, {"4B", 0}, {"4T", 0}, {"4TiB", 0}, {"-4G", 0}, {"G", 0}, {"4 G", 0}, {"1e3K", 0}, {"0G", 0}, {"Ki", 0},
		{"99999999999G", 0}, {"4GiB/s", 0}, {"4Gi", 0}, {"infG", 0}, {"nanK", 0},
	}
	for _, tt := range tests {
		got, wrong := value.Size(tt.text)
		if got != tt.want || (wrong == "") != (tt.want != 0) {
			t.Errorf("%s: %d %q, want %d", tt.text, got, wrong, tt.want)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]int64{"100MiB/s": 100 << 20, "100MiB/S": 100 << 20, "100MB": 100e6, "": 0} {
		if got := mustLoad(t, "", nil, [2]string{"res-net", text}).Limits.Net; got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{"100", "100/s", "MiB/s", "100MiB/m", "100MiB/s/s"} {
		if _, err := load(t, "", nil, [2]string{"res-net", text}); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestBooleans(t *testing.T) {
	words := map[string]bool{
		"true": true, "T": true, "1": true, "YES": true, "on": true,
		"false": false, "F": false, "0": false, "no": false, "Off": false,
	}
	for text, want := range words {
		if got := mustLoad(t, "", []string{"ENV_INPUT_EBPF_UDP=" + text}).Netflow.UDP; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if _, err := load(t, "", []string{"ENV_INPUT_EBPF_UDP=flase"}); err == nil {
		t.Error("flase was taken")
	}
}

func TestServers(t *testing.T) {
	tests := map[string]string{
		"":                        defaultServer,
		"0.0.0.0:9529":            "http://0.0.0.0:9529",
		"host":                    "http://host",
		"https://h:1/base/":       "https://h:1/base",
		"[::1]:9529":              "http://[::1]:9529",
		"ftp://h":                 "!",
		"h:0":                     "!",
		"h:x":                     "!",
		":9529":                   "!",
		"http://h?token=1":        "!",
		"http://h/%zz":            "!",
		"http://user:p@h:9529/up": "http://user:p@h:9529/up",
	}
	for text, want := range tests {
		c, err := load(t, "", nil, [2]string{"datakit-apiserver", text})
		switch {
		case want == "!" && err == nil:
			t.Errorf("%q was taken as %s", text, c.DataKit.Server)
		case want != "!" && (err != nil || c.DataKit.Server != want):
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestEmptyStrings(t *testing.T) {
	want := mustLoad(t, "[[inputs.ebpf]]", nil)
	file := "[[inputs.ebpf]]\n"
	for _, k := range strings.Fields("interval log_level limit_action datakit_spool datakit_timeout cpu_limit mem_limit " +
		"net_limit host_root host_proc hostname state_dir sampling_rate trace_server pprof_port pidfile log") {
		file += k + " = \"\"\n"
	}
	if got := mustLoad(t, file, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestIntegers(t *testing.T) {
	for text, want := range map[string]int{"010": 10, "0x10": 16, "1_000": 1000, "-1": 0, "65535": 65535} {
		if got := mustLoad(t, "", nil, [2]string{"ephemeral_port", text}).Netflow.EphemeralPort; got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestListsFromText(t *testing.T) {
	c := mustLoad(t, "", []string{"ENV_INPUT_EBPF_ENABLED_PLUGINS= ebpf-net , EBPF-BASH,,"})
	if len(c.EnabledPlugins) != 2 || c.EnabledPlugins[1] != "ebpf-bash" {
		t.Errorf("%v", c.EnabledPlugins)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"interval", "service", "udp"}
	tests := map[string]string{
		"intervall": ` (did you mean "interval"?)`, "Interval": ` (did you mean "interval"?)`,
		"upd":             ` (did you mean "udp"?)`,
		"completely_else": "", "": "",
	}
	for text, want := range tests {
		if got := value.Suggest(text, known); text != "" && got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
