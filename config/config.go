// Package config is the whole configuration of Weft: one tree, its defaults,
// its sources (flags, environment, ebpf.conf) and its checks. Leaf package.
//
// The table in keys_*.go describes each key once; reading the file, the
// environment and the flags, checking them, the sample and the tables of
// docs/configuration.md are all driven by it.
//
// Precedence: flag > environment > file > default, merged key by key.
package config

import (
	"time"

	"weft/limit"
)

// Config is the effective configuration, after merging and checking.
type Config struct {
	// Version is the version of the program, set by the command, not by a key.
	Version string
	// Warnings are remarks on what was read, one line each; they do not keep
	// the collector from starting.
	Warnings []string

	// Environ holds those KEY=VALUE of the block's envs that are no key's, such
	// as HTTPS_PROXY. The command sets them where the real environment has none.
	Environ []string

	// Interval is the aggregation period, at least 1s (reference default 60s).
	Interval time.Duration
	// Hostname is the value of the tag host.
	Hostname string
	// Service is the value of the tag service (reference default "ebpf").
	Service string
	// Tags are the user's global tags, from [inputs.ebpf.tags] and --tags.
	Tags map[string]string
	// EnabledPlugins: ebpf-net, ebpf-bash, ebpf-exec, ebpf-conntrack, ebpf-trace, bpf-netlog.
	EnabledPlugins []string

	// Sinks names the active sinks: stdout, screen, datakit. Load never leaves it empty.
	Sinks []string
	// DataKit is the datakit sink.
	DataKit DataKit
	// StateDir holds the lock and the spools.
	StateDir string
	// PidFile, when set, receives the decimal pid.
	PidFile string
	// Listen is the address of /healthz and /metrics; "" turns the server off.
	Listen string
	// Log is the log file ("" is stderr); LogLevel is debug, info, warn or error.
	Log, LogLevel string
	// PprofHost and PprofPort serve net/http/pprof when the port is set.
	PprofHost, PprofPort string
	// HostRoot and HostProc are where the host's / and /proc are mounted: "/"
	// and "/proc" unless the collector runs in a container.
	HostRoot, HostProc string

	Netflow Netflow
	L7      L7
	Exec    Exec
	Netlog  Netlog
	Trace   Trace
	K8s     K8s
	Limits  Limits
	// Tables are the sizes without a key that mem_limit leads to.
	Tables limit.Tables
	// Linker is [[inputs.ebpftrace]].
	Linker Linker

	// ContainerEndpoints are the runtime sockets for bpf-netlog.
	ContainerEndpoints []string
	// SamplingRate and SamplingPerMinute, "" when unset; at most one is set.
	SamplingRate, SamplingPerMinute string
}

// Netflow configures the connection source.
type Netflow struct {
	// Loopback keeps flows with a loopback end (default off as in the reference).
	Loopback bool
	// UDP turns UDP rows on (default on).
	UDP bool
	// EphemeralPort: client ports at or above it are collapsed to "*".
	// The default 0 collapses every client port, as the reference does.
	EphemeralPort int
	// IPv6Disabled leaves IPv6 sockets out.
	IPv6Disabled bool
	// MaxSockets bounds the table of live TCP sockets; MaxFlows bounds the
	// rows that one read-out interval can hold in the kernel.
	MaxSockets, MaxFlows int
	// MaxNAT bounds the connections that ebpf-conntrack keeps.
	MaxNAT int
}

// DataKit configures the datakit sink.
type DataKit struct {
	// Server is the base URL (a path in it is kept), e.g. http://127.0.0.1:9529.
	Server string
	// Encoding is "protobuf" (PBPoints) or "line-protocol".
	Encoding string
	// Gzip compresses request bodies.
	Gzip bool
	// Timeout bounds one request.
	Timeout time.Duration
	// SpoolBytes bounds the spool on disk.
	SpoolBytes int64
}

// L7 configures HTTP and DNS collection.
type L7 struct {
	// Enabled holds what is on (httpflow, httpflow-tls) after Disabled, the
	// inverse list of the reference, was taken into account.
	Enabled, Disabled []string
	// MaxPath is how many bytes of a request path are kept.
	MaxPath int
	// KeepQuery keeps the query in paths; PathTemplate replaces identifiers.
	KeepQuery, PathTemplate bool
	// MaxRows bounds the rows of httpflow and of dnsflow in an interval.
	MaxRows int
	// MaxConns bounds the HTTP connections followed in the kernel at a time.
	MaxConns int
	// RingSize is the size of the ring for payload in MiB, a power of two.
	RingSize int
	// DNS is whether dnsflow is collected.
	DNS bool
	// DNSTimeout is when a query without an answer has timed out.
	DNSTimeout time.Duration
	// DNSPorts are the server ports that carry DNS, at least one, each once.
	DNSPorts []int
	// QueryNames keeps name and type of queries.
	QueryNames bool
	// DomainTTLFloor is how long a name of an address is known at least.
	DomainTTLFloor time.Duration
	// ProcessAllow and ProcessDeny select processes by rules "kind:pattern", with
	// kind one of name, env, path, container, uid and cgroup. A process that a
	// rule of ProcessDeny names is left out, and so is one that no rule of
	// ProcessAllow names, unless that list is empty.
	ProcessAllow, ProcessDeny []string
}

// Exec configures the command audit, ebpf-exec.
type Exec struct {
	// Redact are expressions of what is hidden; "default" stands for the built-in ones.
	Redact []string
	// MaxArgs is how many bytes of a program's arguments are kept.
	MaxArgs int
}

// Netlog configures bpf-netlog.
type Netlog struct {
	Blacklist   string
	Metric, Log bool
	MetricOnly  bool
	Protocols   []string
}

// Trace configures ebpf-trace.
type Trace struct {
	Server                  string
	AllProcess              bool
	EnvList, EnvBlacklist   []string
	NameList, NameBlacklist []string
	Protos, ProtosBlacklist []string
	ConvToDDTrace           bool
}

// K8s configures Kubernetes enrichment. At most one of BearerToken and
// BearerTokenString is set.
type K8s struct {
	URL                 string
	BearerToken         string // path
	BearerTokenString   string
	WorkloadLabels      []string
	WorkloadLabelPrefix string
}

// Limits are the documented resource limits; the zero value is "off".
type Limits struct {
	// CPU in cores, Mem in bytes, Net in bytes per second on any NIC.
	CPU float64
	Mem int64
	Net int64
	// Action says what an exceeded limit does: "exit" or "degrade".
	Action string
}

// Linker is the span linker, [[inputs.ebpftrace]].
type Linker struct {
	// Enabled: an [[inputs.ebpftrace]] block or one of its variables was given.
	Enabled       bool
	DBPath        string
	UseAppTraceID bool
	Window        time.Duration
	SamplingRate  float64
}
