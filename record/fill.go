package record

import (
	"net/netip"
	"strconv"
)

// notApplicable is what the reference sends for a flow without DNAT.
const notApplicable = "N/A"

// Fill derives the outgoing tags and means from the key, the counters and what
// enrichers have set (ProcessName, DstDomain, DstNATIP, DstNATPort), so it runs
// after them. It may run again after a change. netnsDev is the device number
// of the nsfs file system, which the kernel does not put beside a namespace's
// inode number.
func (n *Netflow) Fill(netnsDev uint64) {
	n.Source = "netflow"
	n.fillEnds()
	n.fillIdentity(netnsDev)
	n.fillSides()
	if n.TCPStats != nil {
		n.TCPStats.fillMeans()
	}
}

func (n *Netflow) fillEnds() {
	src, dst := n.Src.Unmap(), n.Dst.Unmap()
	n.SrcIP, n.DstIP = addrText(src), addrText(dst)
	n.SrcPortTag, n.DstPortTag = n.SrcPort.String(), n.DstPort.String()
	n.SrcIPType, n.DstIPType = ipType(src), ipType(dst)
	n.Family = "IPv6"
	if src.Is4() {
		n.Family = "IPv4"
	}
	if n.DstNATIP == "" {
		n.DstNATIP = notApplicable
	}
	if n.DstNATPort == "" {
		n.DstNATPort = notApplicable
	}
}

func (n *Netflow) fillIdentity(netnsDev uint64) {
	n.TransportTag, n.DirectionTag = n.Transport.String(), n.Direction.String()
	n.Pid = strconv.FormatUint(uint64(n.PID), 10)
	if n.ProcessName == "" {
		n.ProcessName = n.Comm
	}
	n.NetNSTag = netnsText(netnsDev, n.NetNS)
	n.ConnectErrTag = errnoName(n.ConnectErrno)
}

// fillSides names the ends by their roles. The reference takes server_ip_type
// of an incoming flow from the remote end; here it is that of the local end,
// which is the server. server_domain is the remote end's, so an incoming flow,
// whose server is the local end, has none.
func (n *Netflow) fillSides() {
	if n.Direction == Incoming {
		n.ConnSide, n.ServerDomain = "server", ""
		n.ClientIP, n.ClientPort, n.ClientIPType = n.DstIP, n.DstPortTag, n.DstIPType
		n.ServerIP, n.ServerPort, n.ServerIPType = n.SrcIP, n.SrcPortTag, n.SrcIPType
		n.ClientSent, n.ServerSent = n.BytesRead, n.BytesWritten
		return
	}
	n.ConnSide, n.ServerDomain = "client", n.DstDomain
	n.ClientIP, n.ClientPort, n.ClientIPType = n.SrcIP, n.SrcPortTag, n.SrcIPType
	n.ServerIP, n.ServerPort, n.ServerIPType = n.DstIP, n.DstPortTag, n.DstIPType
	n.ClientSent, n.ServerSent = n.BytesWritten, n.BytesRead
}

// fillMeans leaves a mean alone that has no samples.
func (t *TCPStats) fillMeans() {
	if t.RTTCount > 0 {
		t.RTT, t.RTTVar = t.RTTSum/t.RTTCount, t.RTTVarSum/t.RTTCount
	}
	if t.ConnectCount > 0 {
		t.ConnectLatency = t.ConnectSum / t.ConnectCount
	}
}

// ipType is the reference's classification: private is RFC 1918 and fc00::/7.
func ipType(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "loopback"
	case a.IsMulticast():
		return "multicast"
	case a.IsPrivate():
		return "private"
	default:
		return "other"
	}
}

// addrText is empty for no address, where netip says "invalid IP".
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// netnsText is the form that the user's documents give: NS(<dev>:<ino>).
func netnsText(dev uint64, ino uint32) string {
	b := make([]byte, 0, 40)
	b = append(b, "NS("...)
	b = strconv.AppendUint(b, dev, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(ino), 10)
	return string(append(b, ')'))
}
