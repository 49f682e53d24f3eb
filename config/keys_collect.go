package config

// pluginNames, l7Names and protoNames are the closed lists of the reference.
func pluginNames() []string {
	return []string{"ebpf-net", "ebpf-bash", "ebpf-exec", "ebpf-conntrack", "ebpf-trace", "bpf-netlog"}
}

func l7Names() []string { return []string{"httpflow", "httpflow-tls"} }

func protoNames() []string {
	return []string{"http", "http2", "grpc", "mysql", "redis", "amqp", "postgresql"}
}

func pluginKeys() []Key {
	return []Key{
		{
			Name: "enabled_plugins", Default: "ebpf-net", Flags: []string{"enabled"}, Child: []string{"enabled"},
			Example: `["ebpf-net"]`, Shown: true,
			bind: list(func(c *Config) *[]string { return &c.EnabledPlugins }, pluginNames()...),
			Help: "All plugins:\n" +
				"- \"ebpf-net\":       L4 (netflow) and L7 (httpflow, dnsflow) flows\n" +
				"- \"ebpf-bash\":      commands typed into bash\n" +
				"- \"ebpf-exec\":      every program that is started, and how it ended\n" +
				"- \"ebpf-conntrack\": adds the tags dst_nat_ip and dst_nat_port to the flows\n" +
				"- \"ebpf-trace\":     spans of requests, for the linker at trace_server\n" +
				"- \"bpf-netlog\":     packet-level L4 and L7 logs, netflow and httpflow without eBPF\n" +
				"An empty list means \"ebpf-net\".",
		},
		{
			Name: "l7net_enabled", Default: "httpflow", Child: []string{"ebpf_net.l7net_enabled"},
			Example: `["httpflow"]`, Shown: true,
			bind: list(func(c *Config) *[]string { return &c.L7.Enabled }, l7Names()...),
			Help: "L7 flows of ebpf-net:\n" +
				"- \"httpflow\" (on by default; an empty list means the default too)\n- \"httpflow-tls\"",
		},
		{
			Name: "l7net_disabled", Child: []string{"ebpf_net.l7net_disabled"}, Example: "[]",
			bind: list(func(c *Config) *[]string { return &c.L7.Disabled }, l7Names()...),
			Help: "The inverse list: without l7net_enabled, all that is not named here is on.",
		},
	}
}

func flowKeys() []Key {
	return []Key{
		{
			Name: "loopback", Default: "false", bind: boolean(func(c *Config) *bool { return &c.Netflow.Loopback }),
			Help: "Keep flows with a loopback end.",
		},
		{
			Name: "udp", Default: "true", bind: boolean(func(c *Config) *bool { return &c.Netflow.UDP }),
			Help: "Collect UDP flows.",
		},
		{
			Name: "ipv6_disabled", Default: "false", Child: []string{"ebpf_net.ipv6_diabled", "ebpf_net.ipv6_disabled"},
			bind: boolean(func(c *Config) *bool { return &c.Netflow.IPv6Disabled }),
			Help: "Leave IPv6 sockets out.",
		},
		{
			Name: "ephemeral_port", Default: "0", Example: "10001", Child: []string{"ebpf_net.ephemeral_port"},
			bind: integer(func(c *Config) *int { return &c.Netflow.EphemeralPort }, -1, 65535),
			Help: "Client ports from this one on become \"*\". 0 (or -1): every client port.",
		},
		{
			Name: "max_sockets", Default: "131072",
			bind: integer(func(c *Config) *int { return &c.Netflow.MaxSockets }, 1024, 1<<24),
			Help: "Largest number of TCP sockets followed at a time. It bounds kernel memory.",
		},
		{
			Name: "max_flows", Default: "65536",
			bind: integer(func(c *Config) *int { return &c.Netflow.MaxFlows }, 1024, 1<<24),
			Help: "Largest number of flows that the kernel holds between two read-outs.",
		},
		{
			Name: "max_nat", Default: "262144",
			bind: integer(func(c *Config) *int { return &c.Netflow.MaxNAT }, 1024, 1<<24),
			Help: "Largest number of connections with NAT that ebpf-conntrack keeps, about 250 bytes each.",
		},
	}
}

func netlogKeys() []Key {
	return []Key{
		{
			Name: "netlog_blacklist", Env: []string{"DKE_NETLOG_NET_FILTER", "ENV_NETLOG_BLACKLIST"},
			Child: []string{"bpf_netlog.net_filter"}, Auto: "none",
			Example: `"ip_saddr=='127.0.0.1' || ip_daddr=='127.0.0.1'"`,
			bind:    text(func(c *Config) *string { return &c.Netlog.Blacklist }),
			Help:    "Packets that bpf-netlog leaves out.",
		},
		{
			Name: "netlog_metric", Default: "true", Env: []string{"ENV_NETLOG_METRIC"},
			Child: []string{"bpf_netlog.enable_metric"}, Shown: true,
			bind: boolean(func(c *Config) *bool { return &c.Netlog.Metric }),
			Help: "bpf-netlog collects flows.",
		},
		{
			Name: "netlog_log", Default: "false", Env: []string{"ENV_NETLOG_LOG"}, Child: []string{"bpf_netlog.enable_log"},
			Shown: true, bind: boolean(func(c *Config) *bool { return &c.Netlog.Log }),
			Help: "bpf-netlog collects logs.",
		},
		{
			Name: "netlog_metric_only", Default: "true", Env: []string{"ENV_NETLOG_METRIC_ONLY"},
			bind: boolean(func(c *Config) *bool { return &c.Netlog.MetricOnly }),
			Help: "Old form of netlog_log: false turns the logs on.",
		},
		{
			Name: "netlog_protocols", Default: "http", Example: `["http"]`, Child: []string{"bpf_netlog.l7log_protocols"},
			bind: list(func(c *Config) *[]string { return &c.Netlog.Protocols }, "http"),
			Help: "Protocols of the L7 log.",
		},
		{
			Name: "container_endpoints", Child: []string{"container_info.endpoints"}, Auto: "the usual sockets",
			Example: `["unix:///var/run/docker.sock"]`,
			bind:    list(func(c *Config) *[]string { return &c.ContainerEndpoints }),
			Help:    "Sockets of the container runtimes.",
		},
	}
}

func traceKeys() []Key {
	return append(traceListKeys(),
		Key{
			Name: "trace_protos", Child: []string{"ebpf_trace.trace_proto_list"}, Auto: "all", Example: `["http", "mysql"]`,
			bind: list(func(c *Config) *[]string { return &c.Trace.Protos }, protoNames()...),
			Help: "Protocols that give spans.",
		},
		Key{
			Name: "trace_protos_blacklist", Child: []string{"ebpf_trace.trace_proto_blacklist"}, Example: "[]",
			bind: list(func(c *Config) *[]string { return &c.Trace.ProtosBlacklist }, protoNames()...),
			Help: "Protocols that give no spans.",
		},
		Key{
			Name: "conv_to_ddtrace", Default: "false", Child: []string{"ebpf_trace.conv_trace_to_dd"},
			bind: boolean(func(c *Config) *bool { return &c.Trace.ConvToDDTrace }),
			Help: "Write trace ids in Datadog's form (base 10, 64 bits).",
		},
	)
}

func traceListKeys() []Key {
	return []Key{
		{
			Name: "trace_server", Child: []string{"ebpf_trace.trace_server"}, Auto: "http://0.0.0.0:9529 with ebpf-trace",
			bind: serverURL(func(c *Config) *string { return &c.Trace.Server }, ""),
			Help: "Address of the linker.",
		},
		{
			Name: "trace_all_process", Default: "false", Flags: []string{"trace-allprocess"},
			Child: []string{"ebpf_trace.trace_all_proc"},
			bind:  boolean(func(c *Config) *bool { return &c.Trace.AllProcess }),
			Help:  "Trace every process.",
		},
		{
			Name: "trace_env_list", Child: []string{"ebpf_trace.trace_env_list"},
			Example: `["DK_BPFTRACE_SERVICE", "DD_SERVICE", "OTEL_SERVICE_NAME"]`,
			bind:    list(func(c *Config) *[]string { return &c.Trace.EnvList }),
			Help:    "Trace processes that have one of these environment variables.",
		},
		{
			Name: "trace_env_blacklist", Child: []string{"ebpf_trace.trace_env_blacklist"}, Example: "[]",
			bind: list(func(c *Config) *[]string { return &c.Trace.EnvBlacklist }),
			Help: "Never trace processes that have one of these environment variables.",
		},
		{
			Name: "trace_name_list", Child: []string{"ebpf_trace.trace_name_list"}, Example: "[]",
			bind: list(func(c *Config) *[]string { return &c.Trace.NameList }),
			Help: "Trace processes with one of these names.",
		},
		{
			Name: "trace_name_blacklist", Child: []string{"ebpf_trace.trace_name_blacklist"}, Example: "[]",
			bind: list(func(c *Config) *[]string { return &c.Trace.NameBlacklist }),
			Help: "Never trace processes with one of these names. datakit and datakit-ebpf are never traced.",
		},
	}
}
