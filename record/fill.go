package record

import (
	"net/netip"
	"strconv"
)

// notApplicable is what the reference sends for a flow without DNAT.
const notApplicable = "N/A"

// Fill derives the outgoing tags and means from the key, the counters and what
// enrichers have set (ProcessName, DstDomain), so it runs after them. It may run
// again after a change. netnsDev is the device number of the nsfs file system,
// which the kernel does not put beside a namespace's inode number.
func (n *Netflow) Fill(netnsDev uint64) {
	n.Identity.fill(n.Measurement(), &n.FlowKey, netnsDev)
	n.ConnectErrTag = errnoName(n.ConnectErrno)
	n.ClientSent, n.ServerSent = bySide(n.Direction, n.BytesRead, n.BytesWritten)
	if n.TCPStats != nil {
		n.TCPStats.fillMeans()
	}
}

// fill derives the tags of the flow k.
func (d *Identity) fill(measurement string, k *FlowKey, netnsDev uint64) {
	d.Source = measurement
	d.fillEnds(k)
	d.TransportTag, d.DirectionTag = k.Transport.String(), k.Direction.String()
	d.Pid = strconv.FormatUint(uint64(k.PID), 10)
	if d.ProcessName == "" {
		d.ProcessName = k.Comm
	}
	d.NetNSTag = netnsText(netnsDev, k.NetNS)
	d.fillSides(k.Direction)
}

func (d *Identity) fillEnds(k *FlowKey) {
	src, dst := k.Src.Unmap(), k.Dst.Unmap()
	d.SrcIP, d.DstIP = addrText(src), addrText(dst)
	d.SrcPortTag, d.DstPortTag = k.SrcPort.String(), k.DstPort.String()
	d.SrcIPType, d.DstIPType = ipType(src), ipType(dst)
	d.Family = familyText(src)
	d.DstNATIP, d.DstNATPort = notApplicable, notApplicable
	if k.NAT.IsValid() {
		d.DstNATIP, d.DstNATPort = addrText(k.NAT.Addr().Unmap()), strconv.Itoa(int(k.NAT.Port()))
	}
}

// fillSides names the ends by their roles. The reference takes server_ip_type
// of an incoming flow from the remote end; here it is that of the local end,
// which is the server. server_domain is the remote end's, so an incoming flow,
// whose server is the local end, has none.
func (d *Identity) fillSides(dir Direction) {
	if dir == Incoming {
		d.ConnSide, d.ServerDomain = "server", ""
		d.ClientIP, d.ClientPort, d.ClientIPType = d.DstIP, d.DstPortTag, d.DstIPType
		d.ServerIP, d.ServerPort, d.ServerIPType = d.SrcIP, d.SrcPortTag, d.SrcIPType
		return
	}
	d.ConnSide, d.ServerDomain = "client", d.DstDomain
	d.ClientIP, d.ClientPort, d.ClientIPType = d.SrcIP, d.SrcPortTag, d.SrcIPType
	d.ServerIP, d.ServerPort, d.ServerIPType = d.DstIP, d.DstPortTag, d.DstIPType
}

// bySide turns what the local end read and wrote into what the client and the
// server sent.
func bySide(dir Direction, read, written int64) (client, server int64) {
	if dir == Incoming {
		return read, written
	}
	return written, read
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

// familyText is empty for no address: a row that stands for many flows.
func familyText(a netip.Addr) string {
	switch {
	case a.Is4():
		return "IPv4"
	case a.IsValid():
		return "IPv6"
	default:
		return ""
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
