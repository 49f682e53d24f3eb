package conn

import (
	"fmt"

	"weft/config"
	"weft/ledger"
	"weft/probe"
)

// configure sets the variables that programs read while they run.
func (k *kernel) configure(c config.Netflow, split bool) error {
	for name, v := range map[string]uint32{
		"keep_loopback": flag(c.Loopback),
		"keep_ipv6":     flag(!c.IPv6Disabled),
		"ephemeral_min": uint32(c.EphemeralPort),
		"split_clients": flag(split),
	} {
		if err := k.base.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// unresolved is the number of accepted sockets whose worker is not known yet.
func (k *kernel) unresolved() int64 {
	return k.stat(bpfConnStatSTAT_ACCEPTED) - k.stat(bpfConnStatSTAT_RESOLVED)
}

// sockets is the number of entries in socks.
func (k *kernel) sockets() int64 {
	return k.stat(bpfConnStatSTAT_SOCKS_ADDED) - k.stat(bpfConnStatSTAT_SOCKS_REMOVED)
}

// meter carries the kernel's counters into the ledger.
type meter struct {
	k    *kernel
	tcp  *ledger.Stage
	rows *ledger.Stage
}

func newMeter(led *ledger.Ledger, k *kernel, out *readout) *meter {
	m := &meter{k: k, tcp: led.Stage("conn.sockets"), rows: led.Stage("conn.flows")}
	for _, o := range []opened{k.tcp, k.udp, k.walk} {
		for name, p := range o.programs {
			led.AddGauge(probe.Program{Name: name, Prog: p}.Gauges()...)
		}
	}
	for name, count := range map[string]func() (int, error){
		"socks":    func() (int, error) { return int(k.sockets()), nil },
		"flows_a":  func() (int, error) { return int(out.rowsInUse()), nil },
		"reported": nil, "listeners": nil, "peers": nil, "udp_args": nil, "udp_roles": nil,
	} {
		led.AddGauge(probe.Map{Name: name, Map: k.base.Maps[name], Count: count}.Gauges()...)
	}
	led.AddGauge(ledger.Gauge{
		Name: "conn_adopted_sockets_total",
		Help: "Sockets whose first event was lost and that were taken in at a later one, with nothing lost.",
		Read: func() float64 { return float64(k.stat(bpfConnStatSTAT_ADOPTED)) },
	})
	led.AddGauge(ledger.Gauge{
		Name: "conn_raced_closes_total",
		Help: "Closes that a snapshot may have counted too, on kernels before 5.12.",
		Read: func() float64 { return float64(k.stat(bpfConnStatSTAT_RACED)) },
	})
	return m
}

// stat sums one per-CPU counter of enum conn_stat.
func (k *kernel) stat(which bpfConnStat) int64 {
	var perCPU []uint64
	if err := k.base.Maps["stats"].Lookup(which, &perCPU); err != nil {
		return 0
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return int64(sum)
}

// missedUDP is how many datagrams the kernel did not run a program for (see
// probe.Program.Missed). What TCP misses is made up for at the next event.
func (k *kernel) missedUDP() int64 {
	var sum uint64
	for name, p := range k.udp.programs {
		if n, err := (probe.Program{Name: name, Prog: p}).Missed(); err == nil {
			sum += n
		}
	}
	return int64(sum)
}

func (m *meter) update() {
	folded := m.k.stat(bpfConnStatSTAT_FOLDED)
	full := m.k.stat(bpfConnStatSTAT_FLOWS_FULL)
	missed := m.k.missedUDP()
	m.rows.SetIn(folded + full + missed)
	m.rows.SetDropped("program_missed", missed)
	m.rows.SetOut(folded)
	m.rows.SetDropped("flows_full", full)
	m.rows.SetDropped("flows_full_bytes", m.k.stat(bpfConnStatSTAT_FLOWS_FULL_BYTES))
	for reason, which := range map[string]bpfConnStat{
		"socks_full":     bpfConnStatSTAT_SOCKS_FULL,
		"untracked":      bpfConnStatSTAT_UNTRACKED,
		"stale":          bpfConnStatSTAT_STALE,
		"listeners_full": bpfConnStatSTAT_LISTENERS_FULL,
		"udp_no_peer":    bpfConnStatSTAT_UDP_NO_PEER,
		"peers_full":     bpfConnStatSTAT_PEERS_FULL,
		// Not datagrams but sockets whose first datagrams may be missing.
		"udp_door_opening": bpfConnStatSTAT_UDP_BORN,
	} {
		m.tcp.SetDropped(reason, m.k.stat(which))
	}
}
