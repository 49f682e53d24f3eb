package config

import "time"

// nextStart ends the help of keys whose change SIGHUP does not take over.
const nextStart = " A change takes effect at the next start."

func l7Keys() []Key {
	return append(append(httpKeys(), dnsKeys()...),
		Key{
			Name: "process_allow", Example: `["name:nginx*", "env:DD_SERVICE"]`,
			bind: rules(func(c *Config) *[]string { return &c.L7.ProcessAllow }),
			Help: "L7 flows of these processes only; an empty list allows all. A rule is one of:\n" +
				"- \"name:nginx*\":    the name of the process\n" +
				"- \"env:KEY\":        a variable in its environment, or \"env:KEY=value\"\n" +
				"- \"path:/usr/bin/*\": the path of its program\n" +
				"- \"container:3f9c0\": the beginning of its container's id, or its name where cgroups have it (lxc, nspawn)\n" +
				"- \"uid:1000\":       its user\n" +
				"- \"cgroup:/a.slice/*\": its cgroup\n" +
				"In text * stands for any characters, slashes too, and ? for one.",
		},
		Key{
			Name: "process_deny", Example: `["uid:0", "path:/opt/secret/*"]`,
			bind: rules(func(c *Config) *[]string { return &c.L7.ProcessDeny }),
			Help: "No L7 flows of these processes, even when process_allow names them. Rules as there.",
		},
	)
}

func httpKeys() []Key {
	return []Key{
		{
			Name: "l7_max_path", Default: "160", bind: integer(func(c *Config) *int { return &c.L7.MaxPath }, 16, 1024),
			Help: "Bytes of a request path that are kept; longer ones are cut and marked truncated." + nextStart,
		},
		{
			Name: "l7_keep_query", Default: "false", bind: boolean(func(c *Config) *bool { return &c.L7.KeepQuery }),
			Help: "Keep the query in request paths. Queries may hold secrets.",
		},
		{
			Name: "l7_path_template", Default: "false", bind: boolean(func(c *Config) *bool { return &c.L7.PathTemplate }),
			Help: "Replace identifiers in request paths: /users/123 becomes /users/{id}.\n" +
				"Known are {id}, {uuid}, {hex}, {date}, {email} and {token}.",
		},
		{
			Name: "l7_max_rows", Default: "10000", bind: integer(func(c *Config) *int { return &c.L7.MaxRows }, 100, 1<<20),
			Help: "Largest number of different httpflow rows in an interval, and of dnsflow rows.\n" +
				"Beyond it the path or the name becomes {overflow}; all totals stay right.",
		},
		{
			Name: "l7_max_conns", Default: "65536", bind: integer(func(c *Config) *int { return &c.L7.MaxConns }, 1024, 1<<22),
			Help: "Largest number of HTTP connections that the kernel follows at a time." + nextStart,
		},
		{
			Name: "l7_ring_size", Default: "8", bind: powerOfTwo(func(c *Config) *int { return &c.L7.RingSize }, 1, 1024),
			Help: "Size in MiB of the ring through which payload leaves the kernel." + nextStart,
		},
	}
}

func dnsKeys() []Key {
	return []Key{
		{
			Name: "dnsflow", Default: "true", bind: boolean(func(c *Config) *bool { return &c.L7.DNS }),
			Help: "Collect DNS flows and learn names from them. With l7net_disabled for the others too, no program\n" +
				"sees packets." + nextStart,
		},
		{
			Name: "dns_timeout", Default: "6s",
			bind: within(func(c *Config) *time.Duration { return &c.L7.DNSTimeout }, 100*time.Millisecond, time.Minute, "6s"),
			Help: "A query without an answer for so long has timed out (rcode -1).",
		},
		{
			Name: "dns_ports", Default: "53,5353,5355", Example: "[53, 5353, 5355]",
			bind: ports(func(c *Config) *[]int { return &c.L7.DNSPorts }, 16),
			Help: "Server ports of DNS: 53, 5353 of mDNS and 5355 of LLMNR.",
		},
		{
			Name: "dns_query_names", Default: "true", bind: boolean(func(c *Config) *bool { return &c.L7.QueryNames }),
			Help: "Keep name and type of queries. false gives fewer rows, which do not have them.",
		},
		{
			Name: "domain_ttl_floor", Default: "60s",
			bind: within(func(c *Config) *time.Duration { return &c.L7.DomainTTLFloor }, 0, 24*time.Hour, "60s"),
			Help: "An answer names an address (dst_domain) for as long as its TTL says, but at least for this time.",
		},
	}
}
