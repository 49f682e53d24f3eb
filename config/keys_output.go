package config

import "time"

// defaultServer is where DataKit listens; connecting to 0.0.0.0 reaches this host.
const defaultServer = "http://0.0.0.0:9529"

func outputKeys() []Key {
	return append(samplingKeys(),
		Key{
			Name: "sinks", Flags: []string{"sink"}, Auto: "datakit when its address is given, else stdout",
			Example: `["datakit"]`,
			bind:    list(func(c *Config) *[]string { return &c.Sinks }, "stdout", "screen", "datakit"),
			Help: "Where the records go: \"stdout\" (one JSON object a line), " +
				"\"screen\" (a line of text a flow), \"datakit\".",
		},
		Key{
			Name: "datakit_apiserver", Default: "0.0.0.0:9529", Child: []string{"datakit_api"},
			bind: serverURL(func(c *Config) *string { return &c.DataKit.Server }, defaultServer),
			Help: "Address of DataKit. A path in it is kept.",
		},
		Key{
			Name: "datakit_encoding", Default: "protobuf",
			bind: choice(func(c *Config) *string { return &c.DataKit.Encoding }, "protobuf", "line-protocol"),
			Help: "Encoding of the points.",
		},
		Key{
			Name: "datakit_gzip", Default: "false", bind: boolean(func(c *Config) *bool { return &c.DataKit.Gzip }),
			Help: "Compress the requests.",
		},
		Key{
			Name: "datakit_timeout", Default: "10s",
			bind: duration(func(c *Config) *time.Duration { return &c.DataKit.Timeout }, 100*time.Millisecond, "10s"),
			Help: "Longest time of one request.",
		},
		Key{
			Name: "datakit_spool", Default: "256MiB",
			bind: unsetWhenEmpty(size(func(c *Config) *int64 { return &c.DataKit.SpoolBytes }, false)),
			Help: "Room on disk for what DataKit does not take at the moment. When full, the oldest goes.",
		},
		Key{
			Name: "tags", Child: []string{"tags"}, Auto: "none", bind: tags(func(c *Config) map[string]string { return c.Tags }),
			Help: "Tags put on every record. As text: key=value items between commas.",
		},
	)
}

func samplingKeys() []Key {
	return []Key{
		{
			Name: "sampling_rate", Child: []string{"sampling.rate"}, Auto: "off", Example: `"0.50"`,
			bind: numberText(func(c *Config) *string { return &c.SamplingRate }, 1e-6, 1, false,
				`a share above 0 up to 1.00, such as "0.50"`),
			Help: "Share of the connections whose records are kept. These carry the rate in sampling_rate.",
		},
		{
			Name: "sampling_rate_pts_per_min", Env: []string{"ENV_INPUT_EBPF_SAMPLING_RATE_PTSPERMIN"},
			Flags: []string{"sampling-rate-ptsperminute"}, Child: []string{"sampling.rate_pts_per_min"},
			Auto: "off", Example: `"1500"`, Or: true,
			bind: numberText(func(c *Config) *string { return &c.SamplingPerMinute }, 1, 1e12, true,
				`a whole number of points from 1 up, such as "1500"`),
			Help: "About so many records a minute are kept, for each category, by a rate that follows the load.",
		},
	}
}

// linkerKeys are the keys of [[inputs.ebpftrace]].
func linkerKeys() []Key {
	return []Key{
		{
			Name: "db_path", Auto: "state_dir/spandb", bind: text(func(c *Config) *string { return &c.Linker.DBPath }),
			Help: "Directory of the spans that wait to be linked.",
		},
		{
			Name: "use_app_trace_id", Default: "true", Shown: true,
			bind: boolean(func(c *Config) *bool { return &c.Linker.UseAppTraceID }),
			Help: "Take the application's trace id over.",
		},
		{
			Name: "window", Default: "20s", Shown: true,
			bind: duration(func(c *Config) *time.Duration { return &c.Linker.Window }, time.Second, "20s"),
			Help: "How long the linker waits for the spans of a trace.",
		},
		{
			Name: "sampling_rate", Default: "0.1", Shown: true,
			bind: number(func(c *Config) *float64 { return &c.Linker.SamplingRate }, 0, 1, "a share from 0 to 1, such as 0.1"),
			Help: "Share of the traces that is kept.",
		},
		{
			Name: "sqlite_path", FileOnly: true, Example: `""`, bind: ignored(text),
			Help: "Of older versions; without effect.", Note: "no longer used; set db_path",
		},
	}
}
