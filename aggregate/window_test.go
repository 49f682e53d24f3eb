package aggregate

import (
	"net/netip"
	"testing"

	"weft/record"
)

func row(port record.Port, rx, est, rtt int64) *record.Netflow {
	return &record.Netflow{
		FlowKey: record.FlowKey{
			Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"),
			DstPort: port, Transport: record.TCP, PID: 7, Comm: "curl",
		},
		BytesRead: rx, BytesWritten: 2 * rx, PacketsRead: 1, PacketsWritten: 2,
		TCPStats: &record.TCPStats{Established: est, Closed: est, RTTSum: rtt, RTTCount: 1},
	}
}

func TestFlowWindowMergesByKey(t *testing.T) {
	w := NewFlowWindow()
	w.Add(row(80, 10, 1, 100))
	w.Add(row(80, 5, 2, 300))
	w.Add(row(81, 1, 0, 1))
	udp := row(80, 3, 0, 0)
	udp.Transport, udp.TCPStats = record.UDP, nil
	w.Add(udp)
	if w.Len() != 3 {
		t.Fatalf("%d rows, want 3", w.Len())
	}
	for _, r := range w.Flush(42) {
		n := r.(*record.Netflow)
		if n.Time != 42 {
			t.Errorf("time %d, want 42", n.Time)
		}
		if n.DstPort != 80 || n.Transport != record.TCP {
			continue
		}
		if n.BytesRead != 15 || n.BytesWritten != 30 || n.PacketsRead != 2 || n.PacketsWritten != 4 {
			t.Errorf("bytes and packets not summed: %+v", n)
		}
		if n.Established != 3 || n.Closed != 3 || n.RTTSum != 400 || n.RTTCount != 2 {
			t.Errorf("TCP sums wrong: %+v", n.TCPStats)
		}
	}
	if w.Len() != 0 {
		t.Error("flush left rows behind")
	}
}
