package agent

import (
	"net/netip"

	"weft/record"
	"weft/source"
	"weft/source/nat"
)

func newNAT(d deps) (collector, error) { return nat.New(d.cfg, d.led, d.log) }

// nat is how sources look NAT targets up; nil without ebpf-conntrack. A UDP
// socket that is bound to no address is looked up by the one it sends from.
func (d deps) nat() source.NAT {
	s, ok := d.built["nat"].(*nat.Source)
	if !ok {
		return nil
	}
	return func(k *record.FlowKey, when, out int64) netip.AddrPort {
		flow := *k
		if flow.Direction == record.Outgoing && flow.Src.IsUnspecified() {
			local, known := d.local.Local(flow.NetNS, flow.PID, flow.Dst)
			if !known { // the process may have ended
				local, known = d.local.Local(flow.NetNS, s.Process(flow.NetNS), flow.Dst)
			}
			if known {
				flow.Src = local
			}
		}
		return s.Lookup(&flow, when, out)
	}
}
