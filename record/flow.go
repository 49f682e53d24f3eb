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
	// NAT is where DNAT sent an outgoing flow; the zero value without DNAT.
	NAT netip.AddrPort
}

// Collapsed applies the reference's ephemeral rule: the opener's port is
// collapsed when it is at least ephemeral, the server's never.
func (k FlowKey) Collapsed(ephemeral uint32) FlowKey {
	client := &k.SrcPort
	if k.Direction == Incoming {
		client = &k.DstPort
	}
	if uint32(*client) >= ephemeral {
		*client = 0
	}
	return k
}

// Key returns the flow that a record is about; records embed it.
func (k *FlowKey) Key() *FlowKey { return k }

// Identity is the tags that every record of a flow has. ProcessName, DstDomain
// and SessionID are set by enrichers, the rest by Fill.
type Identity struct {
	Source       string `tag:"source" help:"Fixed value: the name of the measurement."`
	SrcIP        string `tag:"src_ip" help:"Source (local) IP."`
	DstIP        string `tag:"dst_ip" help:"Destination (remote) IP."`
	SrcPortTag   string `tag:"src_port" help:"Source port; * for a collapsed ephemeral port."`
	DstPortTag   string `tag:"dst_port" help:"Destination port; * for a collapsed ephemeral port."`
	SrcIPType    string `tag:"src_ip_type" help:"Source IP type. (other/private/multicast/loopback)"`
	DstIPType    string `tag:"dst_ip_type" help:"Destination IP type. (other/private/multicast/loopback)"`
	Family       string `tag:"family" help:"Network layer protocol. (IPv4/IPv6)"`
	TransportTag string `tag:"transport" help:"Transport layer protocol. (udp/tcp)"`
	DirectionTag string `tag:"direction" help:"Use the source as a frame of reference to identify the connection initiator. (incoming/outgoing)"`
	Pid          string `tag:"pid" help:"Process identification number."`
	ProcessName  string `tag:"process_name" help:"Process name."`
	NetNSTag     string `tag:"netns" help:"Network namespace of the socket, NS(<dev>:<ino>)."`
	DstDomain    string `tag:"dst_domain" help:"Destination domain; empty when unknown."`
	DstNATIP     string `tag:"dst_nat_ip" help:"For an outgoing flow, the address after DNAT; N/A without DNAT."`
	DstNATPort   string `tag:"dst_nat_port" help:"For an outgoing flow, the port after DNAT; N/A without DNAT."`
	ConnSide     string `tag:"conn_side" help:"Side of the local end. (client/server)"`
	ClientIP     string `tag:"client_ip" help:"IP of the end that opened the flow."`
	ClientPort   string `tag:"client_port" help:"Port of the end that opened the flow."`
	ClientIPType string `tag:"client_ip_type" help:"IP type of the end that opened the flow."`
	ServerIP     string `tag:"server_ip" help:"IP of the end that was connected to."`
	ServerPort   string `tag:"server_port" help:"Port of the end that was connected to."`
	ServerIPType string `tag:"server_ip_type" help:"IP type of the end that was connected to."`
	ServerDomain string `tag:"server_domain" help:"Domain of the server when the server is the remote end; empty when unknown."`
	SessionID    string `tag:"session_id" omit:"empty" new:"weft" help:"Session of the process, as bash and exec records carry it; with ebpf-bash or ebpf-exec only, and left out for processes without one."`
}

// Names returns the tags that enrichers set; records embed them.
func (d *Identity) Names() *Identity { return d }

// Flow is a record about a flow, as enrichers see it.
type Flow interface {
	Record
	Key() *FlowKey
	Names() *Identity
	// Fill derives the outgoing columns, after the enrichers.
	Fill(netnsDev uint64)
}
