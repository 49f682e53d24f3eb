package record

// Netflow is one row of the measurement netflow: the TCP or UDP traffic of one
// process with one peer in one interval. Bytes are payload bytes that the
// kernel accepted from or delivered to the process.
type Netflow struct {
	FlowKey `tag:"-"`
	// Time is the end of the interval in Unix nanoseconds.
	Time int64 `tag:"-"`

	Identity

	ConnectErrTag string `tag:"connect_error" omit:"empty" new:"weft" help:"Name of the errno that the connects of this row failed with, e.g. ECONNREFUSED."`

	BytesRead      int64 `field:"bytes_read" unit:"B" help:"The number of bytes read."`
	BytesWritten   int64 `field:"bytes_written" unit:"B" help:"The number of bytes written."`
	PacketsRead    int64 `field:"packets_read" unit:"count" new:"weft" help:"TCP: segments received, as the kernel counts them (segs_in). UDP: datagrams delivered."`
	PacketsWritten int64 `field:"packets_written" unit:"count" new:"weft" help:"TCP: segments sent, as the kernel counts them (segs_out). UDP: datagrams accepted."`
	ClientSent     int64 `field:"client_sent" unit:"B" help:"Bytes from client to server."`
	ServerSent     int64 `field:"server_sent" unit:"B" help:"Bytes from server to client."`

	*TCPStats
}

// TCPStats is the TCP-only group of a netflow row.
type TCPStats struct {
	Retransmits    int64 `field:"retransmits" unit:"count" help:"The number of retransmitted segments."`
	RTT            int64 `field:"rtt" unit:"us" help:"TCP latency: mean smoothed round trip time of the row's connections."`
	RTTVar         int64 `field:"rtt_var" unit:"us" help:"TCP jitter: mean deviation of the round trip time of the row's connections."`
	Established    int64 `field:"tcp_established" unit:"count" help:"The number of TCP connections established."`
	Closed         int64 `field:"tcp_closed" unit:"count" help:"The number of TCP connections closed."`
	ConnectFailed  int64 `field:"tcp_connect_failed" unit:"count" new:"weft" help:"The number of connects that failed; connect_error says why."`
	ConnectLatency int64 `field:"connect_latency" unit:"ns" new:"weft" omit:"empty" help:"Mean time from SYN to established of the connections opened by this end."`

	// RTTSum, RTTVarSum (µs) and RTTCount make the means when rows are merged;
	// ConnectSum (ns) and ConnectCount likewise.
	RTTSum, RTTVarSum, RTTCount int64 `tag:"-"`
	ConnectSum, ConnectCount    int64 `tag:"-"`
}

// Measurement implements Record.
func (*Netflow) Measurement() string { return "netflow" }

// Timestamp implements Record.
func (n *Netflow) Timestamp() int64 { return n.Time }

// Category implements Record.
func (*Netflow) Category() Category {
	return Category{Kind: "network", Input: "ebpf-net/netflow"}
}
