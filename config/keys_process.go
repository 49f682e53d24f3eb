package config

import "time"

// processKeys are the keys about the process and about how DataKit starts it.
func processKeys() []Key {
	return []Key{
		{
			Name: "daemon", FileOnly: true, Example: "true", Shown: true, bind: ignoredBool(),
			Help: "For DataKit, when it starts the collector. Weft reads past daemon, name, cmd and election.",
		},
		{Name: "name", FileOnly: true, Example: "'ebpf'", Shown: true, bind: ignored(text), Help: "See daemon."},
		{
			Name: "cmd", FileOnly: true, Example: `"/usr/local/bin/weft"`, Shown: true, bind: ignored(text),
			Help: "The program that DataKit starts, as: cmd run args...",
		},
		{
			Name: "args", FileOnly: true, Example: `["--datakit-apiserver", "0.0.0.0:9529"]`, Shown: true, bind: ignoredList(),
			Help: "Flags of weft run. They rank as flags, below those of the real command line.",
		},
		{
			Name: "envs", FileOnly: true, Example: "[]", Shown: true, bind: ignoredList(),
			Help: "KEY=VALUE variables. They rank as environment, below the real environment.",
		},
		{Name: "election", FileOnly: true, Example: "false", bind: ignoredBool(), Help: "See daemon."},
		{
			Name: "interval", Default: "60s", Child: []string{"interval"},
			bind: duration(func(c *Config) *time.Duration { return &c.Interval }, time.Second, "60s"),
			Help: "Aggregation period. One row per flow and period.",
		},
		{
			Name: "hostname", Env: []string{"ENV_HOSTNAME"}, Child: []string{"hostname"},
			Auto: "the tag host, else the host's name", bind: text(func(c *Config) *string { return &c.Hostname }),
			Help: "Value of the tag host.",
		},
		{
			Name: "service", Default: "ebpf", Child: []string{"service"},
			bind: text(func(c *Config) *string { return &c.Service }),
			Help: "Value of the tag service.",
		},
		{
			Name: "log", Child: []string{"log"}, Auto: "standard error",
			bind: text(func(c *Config) *string { return &c.Log }),
			Help: "Log file.",
		},
		{
			Name: "log_level", Default: "info", Child: []string{"log_level"},
			bind: choice(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error"),
			Help: "How much is logged.",
		},
		{
			Name: "pidfile", Child: []string{"pidfile"}, Auto: "none",
			bind: text(func(c *Config) *string { return &c.PidFile }),
			Help: "File that receives the process id.",
		},
		{
			Name: "state_dir", Auto: "/var/lib/weft, else $XDG_STATE_HOME/weft",
			bind: text(func(c *Config) *string { return &c.StateDir }),
			Help: "Directory of the lock and of the spools.",
		},
		{
			Name: "listen", Default: "127.0.0.1:9530",
			bind: listenAddress(func(c *Config) *string { return &c.Listen }),
			Help: "Address of /healthz, /metrics and the web page; \"off\" turns the server off.",
		},
		{
			Name: "pprof_host", Default: "127.0.0.1", Child: []string{"pprof_host"},
			bind: text(func(c *Config) *string { return &c.PprofHost }),
			Help: "Address of the Go profiler. Empty means 127.0.0.1.",
		},
		{
			Name: "pprof_port", Auto: "off", Example: `"6061"`, Child: []string{"pprof_port"},
			bind: portText(func(c *Config) *string { return &c.PprofPort }),
			Help: "Port of the Go profiler; without it the profiler is off.",
		},
		{
			Name: "host_root", Default: "/", Env: []string{"HOST_ROOT"},
			bind: unsetWhenEmpty(text(func(c *Config) *string { return &c.HostRoot })),
			Help: "Where the host's / is mounted, when the collector runs in a container.",
		},
		{
			Name: "host_proc", Auto: "host_root/proc", Env: []string{"HOST_PROC"},
			bind: text(func(c *Config) *string { return &c.HostProc }),
			Help: "Where the host's /proc is mounted.",
		},
	}
}

func limitKeys() []Key {
	return []Key{
		{
			Name: "cpu_limit", Flags: []string{"res-cpu"}, Child: []string{"resource_limit.limit_cpu"}, Auto: "off",
			Example: `"2.0"`,
			bind: number(func(c *Config) *float64 { return &c.Limits.CPU }, 0, 4096,
				`cores from 0 (off) to 4096, such as "2.0"`),
			Help: "Resource limits. The collector exits when one is exceeded for 5s (see limit_action).\n" +
				"CPU cores, the mean of 5s.",
		},
		{
			Name: "mem_limit", Flags: []string{"res-mem"}, Child: []string{"resource_limit.limit_mem"}, Auto: "off",
			Example: `"4GiB"`, bind: size(func(c *Config) *int64 { return &c.Limits.Mem }, false),
			Help: "Memory: the process and its kernel tables. KB, MB, GB are powers of 1000; KiB, MiB, GiB of 1024.\n" +
				"Table sizes that are not given follow from it." + nextStart,
		},
		{
			Name: "net_limit", Flags: []string{"res-bandwidth", "res-net"}, Child: []string{"resource_limit.limit_bandwidth"},
			Auto: "off", Example: `"100MiB/s"`, bind: size(func(c *Config) *int64 { return &c.Limits.Net }, true),
			Help: "Network bandwidth, received or sent, on any network card of the host (lo too), the mean of 5s.",
		},
		{
			Name: "limit_action", Default: "exit",
			bind: choice(func(c *Config) *string { return &c.Limits.Action }, "exit", "degrade"),
			Help: "What an exceeded limit does: \"exit\" (with status 3), or \"degrade\": leave out, step by step,\n" +
				"payload that is parsed and TLS, then HTTP/1, then most DNS rows, then take longer intervals.\n" +
				"netflow stays exact. docs/limits.md.",
		},
	}
}

func k8sKeys() []Key {
	return []Key{
		{
			Name: "kubernetes_url", Default: "https://kubernetes.default:443", Env: []string{"DKE_K8S_URL"},
			Child: []string{"k8s_info.url"}, bind: fullURL(func(c *Config) *string { return &c.K8s.URL }),
			Help: "Kubernetes API server.",
		},
		{
			Name: "bearer_token", Default: "/run/secrets/kubernetes.io/serviceaccount/token",
			Env: []string{"DKE_K8S_BEARER_TOKEN_PATH"}, Child: []string{"k8s_info.bearer_token_path"},
			bind: text(func(c *Config) *string { return &c.K8s.BearerToken }),
			Help: "File with the token for the API server.",
		},
		{
			Name: "bearer_token_string", Env: []string{"DKE_K8S_BEARER_TOKEN"}, Child: []string{"k8s_info.bearer_token"},
			Auto: "none", Example: `"<your-token-string>"`, Or: true,
			bind: text(func(c *Config) *string { return &c.K8s.BearerTokenString }),
			Help: "The token itself.",
		},
		{
			Name: "workload_labels", Env: []string{"DKE_K8S_WORKLOAD_LABELS"}, Child: []string{"k8s_info.workload_labels"},
			Example: `["app"]`, bind: list(func(c *Config) *[]string { return &c.K8s.WorkloadLabels }),
			Help: "Labels of the workload that become tags.",
		},
		{
			// The parent of the reference sends the prefix without DKE_.
			Name: "workload_label_prefix", Env: []string{"DKE_K8S_WORKLOAD_LABEL_PREFIX", "K8S_WORKLOAD_LABEL_PREFIX"},
			Child: []string{"k8s_info.workload_label_prefix"}, Auto: "none",
			bind: text(func(c *Config) *string { return &c.K8s.WorkloadLabelPrefix }),
			Help: "What goes before the label's name in the tag's name.",
		},
	}
}
