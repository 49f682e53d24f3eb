package conn

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"weft/probe"
	"weft/record"
)

const batch = 1024

// readout empties the kernel's flow tables. Two tables take turns: programs
// add to one while the other is read.
type readout struct {
	outer  *ebpf.Map
	tables [2]*ebpf.Map
	active int
	// swapped is when the table at hand was swapped out, in monotonic ns.
	swapped int64
	used    *ebpf.Variable
	keys    []bpfFlowKey
	vals    []bpfFlowVal
}

func newReadout(base *ebpf.Collection) *readout {
	return &readout{
		outer:  base.Maps["flows"],
		tables: [2]*ebpf.Map{base.Maps["flows_a"], base.Maps["flows_b"]},
		used:   base.Variables["flows_used"],
		keys:   make([]bpfFlowKey, batch),
		vals:   make([]bpfFlowVal, batch),
	}
}

// rowsInUse is the fill of the active table.
func (r *readout) rowsInUse() uint64 {
	var n uint64
	if err := r.used.Get(&n); err != nil {
		return 0
	}
	return n
}

// drain swaps the tables and gives every row of the old one to add, with a
// time at which its connection was open, 0 where the row is of many. The write
// of the map of maps returns after an RCU grace period, so that no program
// still adds to the old table (see flows.h).
func (r *readout) drain(add func(n *record.Netflow, when int64)) error {
	old := r.tables[r.active]
	next := r.tables[1-r.active]
	if err := r.used.Set(uint64(0)); err != nil {
		return fmt.Errorf("reset the row count: %w", err)
	}
	if err := r.outer.Put(uint32(0), uint32(next.FD())); err != nil {
		return fmt.Errorf("swap flow tables: %w", err)
	}
	r.active = 1 - r.active
	r.swapped = probe.Monotonic()
	var cursor ebpf.MapBatchCursor
	for {
		n, err := old.BatchLookupAndDelete(&cursor, r.keys, r.vals, nil)
		for i := range n {
			k := &r.keys[i]
			add(flowOf(k, &r.vals[i]), int64(k.When[0])|int64(k.When[1])<<32)
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the flow table: %w", err)
		}
	}
}

func flowOf(k *bpfFlowKey, v *bpfFlowVal) *record.Netflow {
	n := &record.Netflow{
		FlowKey: record.FlowKey{
			Src: netip.AddrFrom16(k.Laddr).Unmap(), Dst: netip.AddrFrom16(k.Raddr).Unmap(),
			SrcPort: record.Port(k.Lport), DstPort: record.Port(k.Rport),
			Transport: record.Transport(k.Proto), Direction: record.Direction(k.Incoming),
			PID: k.Pid, Comm: comm(v.Comm[:]), NetNS: k.Netns, ConnectErrno: k.ConnectErrno,
		},
		BytesRead: int64(v.RxBytes), BytesWritten: int64(v.TxBytes),
		PacketsRead: int64(v.RxPkts), PacketsWritten: int64(v.TxPkts),
	}
	if n.Transport == record.TCP {
		n.TCPStats = &record.TCPStats{
			Retransmits: int64(v.Retrans),
			RTTSum:      int64(v.RttUs), RTTVarSum: int64(v.RttvarUs), RTTCount: int64(v.RttN),
			Established: int64(v.Established), Closed: int64(v.Closed), ConnectFailed: int64(v.Failed),
			ConnectSum: int64(v.ConnectNs), ConnectCount: int64(v.ConnectN),
		}
	}
	return n
}

// comm is the text of a task's comm: up to the first NUL.
func comm[T int8 | uint8](c []T) string {
	b := make([]byte, len(c))
	for i, ch := range c {
		b[i] = byte(ch)
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
