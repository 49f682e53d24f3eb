package config

import (
	"reflect"
	"testing"
)

func TestDefaults(t *testing.T) {
	c := mustLoad(t, "", nil)
	if !reflect.DeepEqual(c.Sinks, []string{"stdout"}) || c.DataKit.Server != "http://0.0.0.0:9529" ||
		c.Netflow != (Netflow{UDP: true, MaxSockets: 131072, MaxFlows: 65536, MaxNAT: 262144}) ||
		c.Listen != "127.0.0.1:9530" ||
		!reflect.DeepEqual(c.EnabledPlugins, []string{"ebpf-net"}) ||
		!reflect.DeepEqual(c.L7.Enabled, []string{"httpflow"}) ||
		c.DataKit.SpoolBytes != 256<<20 || c.DataKit.Encoding != "protobuf" || c.Linker.Enabled || c.Hostname == "" {
		t.Errorf("%+v", c)
	}
}

func TestSinkFollowsTheServer(t *testing.T) {
	tests := []struct {
		file  string
		env   []string
		flags [][2]string
		want  string
	}{
		{"", nil, nil, "stdout"},
		{"", nil, [][2]string{{"datakit-apiserver", ""}}, "datakit"},
		{"", []string{"ENV_INPUT_EBPF_DATAKIT_APISERVER=h:1"}, nil, "datakit"},
		{"[[inputs.ebpf]]\nargs = [\"--datakit-apiserver\", \"h:1\"]", nil, nil, "datakit"},
		{"datakit_api = \"h:1\"", nil, nil, "datakit"},
		{"datakit_api = \"h:1\"", nil, [][2]string{{"sink", "stdout"}}, "stdout"},
	}
	for _, tt := range tests {
		if got := mustLoad(t, tt.file, tt.env, tt.flags...).Sinks; !reflect.DeepEqual(got, []string{tt.want}) {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	c := mustLoad(t, "", nil, [2]string{"sink", "datakit"}, [2]string{"sink", "stdout"})
	if !reflect.DeepEqual(c.Sinks, []string{"datakit", "stdout"}) {
		t.Errorf("--sink twice: %v", c.Sinks)
	}
}

func TestHostname(t *testing.T) {
	tests := []struct {
		flags [][2]string
		want  string
	}{
		{[][2]string{{"hostname", "h"}, {"tags", "host=t"}}, "h"},
		{[][2]string{{"tags", "host=t"}}, "t"},
		{nil, osHostname()},
	}
	for _, tt := range tests {
		if got := mustLoad(t, "", nil, tt.flags...).Hostname; got != tt.want {
			t.Errorf("%v: %q, want %q", tt.flags, got, tt.want)
		}
	}
}

func TestL7Lists(t *testing.T) {
	tests := []struct {
		flags [][2]string
		want  []string
	}{
		{[][2]string{{"l7net-enabled", "httpflow-tls"}}, []string{"httpflow-tls"}},
		{[][2]string{{"l7net-disabled", "httpflow"}}, []string{"httpflow-tls"}},
		{[][2]string{{"l7net-disabled", "httpflow,httpflow-tls"}}, []string{}},
		{[][2]string{{"l7net-enabled", "httpflow"}, {"l7net-disabled", "httpflow-tls"}}, []string{"httpflow"}},
		{[][2]string{{"l7net-enabled", ""}}, []string{"httpflow"}},
	}
	for _, tt := range tests {
		if got := mustLoad(t, "", nil, tt.flags...).L7.Enabled; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.flags, got, tt.want)
		}
	}
}

// The ways in which DataKit's own parent asks for logs and metrics.
func TestNetlog(t *testing.T) {
	tests := []struct {
		file        string
		flags       [][2]string
		metric, log bool
	}{
		{"", nil, true, false},
		{"", [][2]string{{"netlog-log", "true"}}, false, true},
		{"", [][2]string{{"netlog-log", "true"}, {"netlog-metric", "true"}}, true, true},
		{"[[inputs.ebpf]]", [][2]string{{"netlog-log", "true"}}, true, true},
		{"[[inputs.ebpf]]\nnetlog_metric_only = false", nil, true, true},
		{"[[inputs.ebpf]]\nnetlog_metric = false\nnetlog_log = true", nil, false, true},
	}
	for _, tt := range tests {
		n := mustLoad(t, tt.file, nil, tt.flags...).Netlog
		if n.Metric != tt.metric || n.Log != tt.log {
			t.Errorf("%+v: metric %v, log %v", tt, n.Metric, n.Log)
		}
	}
}

func TestToken(t *testing.T) {
	const file = "[[inputs.ebpf]]\nbearer_token = \"/t\"\n"
	tests := []struct {
		file      string
		env       []string
		path, str string
	}{
		{"", nil, "/run/secrets/kubernetes.io/serviceaccount/token", ""},
		{file, nil, "/t", ""},
		{"[[inputs.ebpf]]\nbearer_token_string = \"s\"\n", nil, "", "s"},
		{file, []string{"DKE_K8S_BEARER_TOKEN=s"}, "", "s"},
		{"[[inputs.ebpf]]\nbearer_token_string = \"s\"\n", []string{"DKE_K8S_BEARER_TOKEN_PATH=/e"}, "/e", ""},
	}
	for _, tt := range tests {
		k := mustLoad(t, tt.file, tt.env).K8s
		if k.BearerToken != tt.path || k.BearerTokenString != tt.str {
			t.Errorf("%+v: %q %q", tt, k.BearerToken, k.BearerTokenString)
		}
	}
}

func TestSamplingOfTwoPlaces(t *testing.T) {
	c := mustLoad(t, "[[inputs.ebpf]]\nsampling_rate = \"0.5\"", []string{"ENV_INPUT_EBPF_SAMPLING_RATE_PTSPERMIN=1500"})
	if c.SamplingRate != "" || c.SamplingPerMinute != "1500" || len(c.Warnings) > 0 {
		t.Errorf("%q %q %v", c.SamplingRate, c.SamplingPerMinute, c.Warnings)
	}
}

func TestStateDir(t *testing.T) {
	no := func(string) bool { return false }
	yes := func(string) bool { return true }
	tests := []struct {
		environ []string
		can     func(string) bool
		want    string
	}{
		{[]string{"HOME=/root"}, yes, "/var/lib/weft"},
		{[]string{"HOME=/home/u"}, no, "/home/u/.local/state/weft"},
		{[]string{"HOME=/home/u", "XDG_STATE_HOME=/x"}, no, "/x/weft"},
		{[]string{"HOME=/home/u", "XDG_STATE_HOME=x"}, no, "/home/u/.local/state/weft"},
		{nil, no, "/var/lib/weft"},
	}
	for _, tt := range tests {
		if got := stateDir(tt.environ, tt.can); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.environ, got, tt.want)
		}
	}
}
