package payload

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"weft/record"
)

const batch = 1024

// name is what the hashes of a row stand for.
type name struct {
	row  record.Httpflow // key only
	when int64           // its connection was open then, 0: the row is of many
	used uint32          // generation of the last read-out that had it
}

// addRow takes a row, a time at which its connection was open (0: it is of
// many), and when it was taken out of the kernel, both in monotonic ns.
type addRow func(row *record.Httpflow, when, out int64)

// rows reads the kernel's table of exchanges out. Two tables take turns, as in
// source/conn; what a row's hashes stand for comes through the ring.
type rows struct {
	outer  *ebpf.Map
	tables [2]*ebpf.Map
	active int
	used   *ebpf.Variable
	keys   []bpfRowKey
	vals   []bpfRowVal
	names  map[bpfRowKey]*name
	turn   uint32
	// swapped is when the table at hand was swapped out, in monotonic ns.
	swapped int64
	// unnamed counts exchanges of rows whose announcement was lost.
	unnamed, exchanges int64
}

func newRows(coll *ebpf.Collection) *rows {
	return &rows{
		outer: coll.Maps[bpfMapRows], tables: [2]*ebpf.Map{coll.Maps[bpfMapRowsA], coll.Maps[bpfMapRowsB]},
		used: coll.Variables["rows_used"], keys: make([]bpfRowKey, batch), vals: make([]bpfRowVal, batch),
		names: map[bpfRowKey]*name{},
	}
}

// full tells whether the active table is more than half full.
func (r *rows) full() bool {
	var n uint64
	return r.used.Get(&n) == nil && n > uint64(r.tables[0].MaxEntries()/2)
}

// learn takes an announcement.
func (r *rows) learn(e *bpfEvRow, line []byte, o lineOptions) {
	flow := flowKey(&e.Key, e.Comm[:])
	method, path, cut := splitLine(e.Method, line, o)
	when := int64(e.Key.When[0]) | int64(e.Key.When[1])<<32
	r.names[e.Row] = &name{when: when, used: r.turn, row: record.Httpflow{HTTPKey: record.HTTPKey{
		FlowKey: flow, Method: method, Path: path, Truncated: cut || e.Row.Truncated != 0,
		Version: version(e.Row.Version), Status: int(e.Row.Status), GRPCStatus: -1,
	}}}
}

func version(minor uint8) string {
	if minor == 0 {
		return "1.0"
	}
	return "1.1"
}

// swap makes the other table active. It returns after an RCU grace period, so
// nothing adds to the old one any more and all its rows have been announced.
func (r *rows) swap() (old *ebpf.Map, err error) {
	if err := r.used.Set(uint64(0)); err != nil {
		return nil, fmt.Errorf("reset the row count: %w", err)
	}
	old = r.tables[r.active]
	r.active = 1 - r.active
	if err := r.outer.Put(uint32(0), uint32(r.tables[r.active].FD())); err != nil {
		return nil, fmt.Errorf("swap the tables of exchanges: %w", err)
	}
	r.swapped = Now()
	return old, nil
}

// drain gives the rows of a table that was swapped out to add, and empties it.
func (r *rows) drain(old *ebpf.Map, add addRow) error {
	defer r.forget()
	var cursor ebpf.MapBatchCursor
	for {
		n, err := old.BatchLookupAndDelete(&cursor, r.keys, r.vals, nil)
		for i := range n {
			r.take(&r.keys[i], &r.vals[i], add)
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the exchanges: %w", err)
		}
	}
}

func (r *rows) take(k *bpfRowKey, v *bpfRowVal, add addRow) {
	answered := v.answered()
	n := answered + int64(v.Unanswered)
	r.exchanges += n
	named := r.names[*k]
	if named == nil {
		r.unnamed += n
		return
	}
	named.used = r.turn
	row := named.row
	row.Count, row.LatencyCount = n, answered
	row.BytesRead, row.BytesWritten = int64(v.RespBytes), int64(v.ReqBytes)
	if row.Direction == record.Incoming {
		row.BytesRead, row.BytesWritten = row.BytesWritten, row.BytesRead
	}
	row.LatencySum, row.DurationSum, row.LatencyMax = int64(v.Latency), int64(v.Latency+v.After), int64(v.LatencyMax)
	row.Latencies = v.Buckets
	add(&row, named.when, r.swapped)
}

// answered is the number of exchanges that have a response.
func (v *bpfRowVal) answered() int64 {
	var n int64
	for _, b := range v.Buckets {
		n += int64(b)
	}
	return n
}

// forget drops names that two read-outs did not use: they come again with
// their row.
func (r *rows) forget() {
	for k, n := range r.names {
		if r.turn-n.used > 1 {
			delete(r.names, k)
		}
	}
	r.turn++
}

// flowKey is the kernel's flow key; the types that bpf2go makes of it are many.
func flowKey(k *evKey, comm []int8) record.FlowKey {
	return record.FlowKey{
		Src: netip.AddrFrom16(k.Laddr).Unmap(), Dst: netip.AddrFrom16(k.Raddr).Unmap(),
		SrcPort: record.Port(k.Lport), DstPort: record.Port(k.Rport),
		Transport: record.TCP, Direction: record.Direction(k.Incoming),
		PID: k.Pid, Comm: commText(comm), NetNS: k.Netns,
	}
}

func commText(c []int8) string {
	b := make([]byte, 0, len(c))
	for _, ch := range c {
		if ch == 0 {
			break
		}
		b = append(b, byte(ch))
	}
	return string(b)
}
