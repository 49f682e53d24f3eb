package record

import (
	"net/netip"
	"strconv"
)

// Port is a TCP or UDP port; zero is the collapsed ephemeral port "*".
type Port uint16

// String is the decimal port, or "*" for a collapsed one.
func (p Port) String() string {
	if p == 0 {
		return "*"
	}
	return strconv.Itoa(int(p))
}

// Direction of a flow: who opened it, seen from the local end.
type Direction uint8

// The directions; the zero value is the reference's default.
const (
	Outgoing Direction = iota
	Incoming
)

// String is "outgoing" or "incoming".
func (d Direction) String() string {
	if d == Incoming {
		return "incoming"
	}
	return "outgoing"
}

// Transport is the layer 4 protocol by its IP protocol number (RFC 5237).
type Transport uint8

// The transports that flows are made of.
const (
	TCP Transport = 6
	UDP Transport = 17
)

// String is "tcp" or "udp".
func (t Transport) String() string {
	if t == UDP {
		return "udp"
	}
	return "tcp"
}

// FlowKey is the identity of a netflow row: rows of one interval with the same
// key are one row. Src is always the local end of the socket and Dst the
// remote end, whoever connected; v4-mapped IPv6 addresses are plain IPv4.
type FlowKey struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort Port
	Transport        Transport
	Direction        Direction
	PID              uint32
	// Comm is the thread-group leader's comm as the kernel has it (15 bytes).
	Comm string
	// NetNS is the inode number of the socket's network namespace.
	NetNS uint32
	// ConnectErrno is the errno a connect failed with, else 0.
	ConnectErrno uint16
}

// Netflow is one row of the measurement netflow: the TCP or UDP traffic of one
// process with one peer in one interval. Bytes are payload bytes that the
// kernel accepted from or delivered to the process.
type Netflow struct {
	FlowKey `tag:"-"`
	// Time is the end of the interval in Unix nanoseconds.
	Time int64 `tag:"-"`

	Source        string `tag:"source" help:"Fixed value: netflow."`
	SrcIP         string `tag:"src_ip" help:"Source (local) IP."`
	DstIP         string `tag:"dst_ip" help:"Destination (remote) IP."`
	SrcPortTag    string `tag:"src_port" help:"Source port; * for a collapsed ephemeral port."`
	DstPortTag    string `tag:"dst_port" help:"Destination port; * for a collapsed ephemeral port."`
	SrcIPType     string `tag:"src_ip_type" help:"Source IP type. (other/private/multicast/loopback)"`
	DstIPType     string `tag:"dst_ip_type" help:"Destination IP type. (other/private/multicast/loopback)"`
	Family        string `tag:"family" help:"Network layer protocol. (IPv4/IPv6)"`
	TransportTag  string `tag:"transport" help:"Transport layer protocol. (udp/tcp)"`
	DirectionTag  string `tag:"direction" help:"Use the source as a frame of reference to identify the connection initiator. (incoming/outgoing)"`
	Pid           string `tag:"pid" help:"Process identification number."`
	ProcessName   string `tag:"process_name" help:"Process name."`
	NetNSTag      string `tag:"netns" help:"Network namespace of the socket, NS(<dev>:<ino>)."`
	DstDomain     string `tag:"dst_domain" help:"Destination domain; empty when unknown."`
	DstNATIP      string `tag:"dst_nat_ip" help:"For an outgoing flow, the address after DNAT; N/A without DNAT."`
	DstNATPort    string `tag:"dst_nat_port" help:"For an outgoing flow, the port after DNAT; N/A without DNAT."`
	ConnSide      string `tag:"conn_side" help:"Side of the local end. (client/server)"`
	ClientIP      string `tag:"client_ip" help:"IP of the end that opened the flow."`
	ClientPort    string `tag:"client_port" help:"Port of the end that opened the flow."`
	ClientIPType  string `tag:"client_ip_type" help:"IP type of the end that opened the flow."`
	ServerIP      string `tag:"server_ip" help:"IP of the end that was connected to."`
	ServerPort    string `tag:"server_port" help:"Port of the end that was connected to."`
	ServerIPType  string `tag:"server_ip_type" help:"IP type of the end that was connected to."`
	ServerDomain  string `tag:"server_domain" help:"Domain of the server when the server is the remote end; empty when unknown."`
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
