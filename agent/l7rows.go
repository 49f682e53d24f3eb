package agent

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/enrich/domain"
	"weft/l7"
	"weft/l7/dnsflow"
	"weft/protocol"
	"weft/record"
)

// row takes exchanges of a flow whose ports are collapsed.
func (x *exchanges) row(r *record.Httpflow) {
	if x.chosen.Wanted(r.PID, r.Comm) {
		x.http.Add(r)
	}
}

// counted takes exchanges of one connection, or of several when NAT is not
// asked for, that the kernel has summed up.
func (x *exchanges) counted(r *record.Httpflow, when, out int64) {
	r.FlowKey = x.target(r.FlowKey, when, out)
	x.row(r)
}

// target adds where NAT sent a flow with true ports, and collapses them.
func (x *exchanges) target(k record.FlowKey, when, out int64) record.FlowKey {
	if x.nat != nil {
		k.NAT = x.nat(&k, when, out)
	}
	return k.Collapsed(uint32(x.cfg.Netflow.EphemeralPort))
}

// exchange takes one that a protocol has parsed.
func (x *exchanges) exchange(_ l7.ConnID, info *l7.Info, e *protocol.Exchange) {
	switch e.Protocol {
	case "http", "http2", "grpc":
		x.oneHTTP = httpRow(x.target(info.Flow, e.Start, e.End), info.TLS, e)
		x.row(&x.oneHTTP)
	case "dns":
		x.lastDNS = e.End
		x.tracker.TCP(info.Flow, e)
	}
}

// httpRow is a row of one exchange.
func httpRow(flow record.FlowKey, tls bool, e *protocol.Exchange) record.Httpflow {
	r := record.Httpflow{
		HTTPKey: record.HTTPKey{
			FlowKey: flow, Method: e.Method, Path: e.Path, Version: e.Version,
			Status: e.Status, Truncated: e.Truncated, TLS: tls, GRPCStatus: -1,
		},
		Count: 1, BytesRead: int64(e.RespBytes), BytesWritten: int64(e.ReqBytes),
	}
	if e.GRPC != nil {
		r.GRPCService, r.GRPCStatus = e.GRPC.Service, e.GRPC.Status
	}
	if r.Direction == record.Incoming {
		r.BytesRead, r.BytesWritten = r.BytesWritten, r.BytesRead
	}
	if e.First == 0 {
		return r
	}
	ns := e.First - e.Start
	r.LatencyCount, r.LatencySum, r.LatencyMax, r.DurationSum = 1, ns, ns, e.End-e.Start
	r.Latencies.Add(ns)
	return r
}

// datagram takes a DNS message. Those of loopback are kept when loopback flows
// are, and when they are of the resolver that this host asks.
func (x *exchanges) datagram(d *dnsflow.Datagram) {
	if x.cfg.Netflow.IPv6Disabled && d.Flow.Dst.Is6() {
		return
	}
	loopback := d.Flow.Src.IsLoopback() || d.Flow.Dst.IsLoopback()
	if loopback && !x.cfg.Netflow.Loopback && !x.resolvers.has(d.Flow) {
		return
	}
	x.lastDNS = d.Time
	x.tracker.Datagram(d)
}

// transaction takes a DNS query and what became of it. Names are learnt from
// all of them: netflow shows those of processes that L7 leaves out, too.
func (x *exchanges) transaction(t *dnsflow.Transaction) {
	if t.Flow.Direction == record.Outgoing && t.Rcode == 0 && len(t.Addrs) > 0 {
		answers := make([]domain.Answer, len(t.Addrs))
		for i, a := range t.Addrs {
			answers[i] = domain.Answer{IP: a.IP, TTL: a.TTL}
		}
		x.domains.Learn(t.Flow.NetNS, t.Flow.PID, t.Name, answers, time.Now().UnixNano())
	}
	if !x.chosen.Wanted(t.Flow.PID, t.Flow.Comm) {
		return
	}
	flow := t.Flow
	if x.nat != nil {
		flow.NAT = x.nat(&flow, 0, x.lastDNS)
	}
	r := &x.oneDNS
	*r = record.Dnsflow{
		DNSKey: record.DNSKey{
			FlowKey: dnsPorts(flow, x.cfg.L7.DNSPorts), Rcode: t.Rcode, Query: t.Name, QType: t.Type,
		},
		Count: 1, Answers: int64(t.Answers), Retries: int64(t.Retries),
	}
	if t.Truncated {
		r.Truncated = 1
	}
	if t.Rcode != record.RcodeTimeout {
		r.LatencyCount, r.LatencySum, r.LatencyMax = 1, t.Latency, t.Latency
	}
	x.dns.Add(r)
}

// dnsPorts keeps the ports of DNS and collapses the others.
func dnsPorts(k record.FlowKey, ports []int) record.FlowKey {
	for _, p := range []*record.Port{&k.SrcPort, &k.DstPort} {
		if !slices.Contains(ports, int(*p)) {
			*p = 0
		}
	}
	return k
}

// resolvers are the name servers of this host.
type resolvers []netip.Addr

func (r resolvers) has(k record.FlowKey) bool {
	return slices.Contains(r, k.Src) || slices.Contains(r, k.Dst)
}

// readResolvers takes them from resolv.conf(5); without it there are none.
func readResolvers() resolvers {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out resolvers
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// selfPID is this process in the kernel's numbering, which proc shows.
func selfPID(hostProc string) int {
	if target, err := os.Readlink(filepath.Join(hostProc, "self")); err == nil {
		if pid, err := strconv.Atoi(target); err == nil {
			return pid
		}
	}
	return os.Getpid()
}
