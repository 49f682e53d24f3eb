package aggregate

import (
	"fmt"
	"testing"

	"weft/record"
)

func handshake(name, version string) *record.Tlsflow {
	return &record.Tlsflow{
		TLSKey: record.TLSKey{FlowKey: row(443, 0, 0, 0).FlowKey, SNI: name, ALPN: "h2", Version: version},
		Count:  1,
	}
}

func TestTLSWindowMergesByKey(t *testing.T) {
	w := NewTLSWindow(10)
	w.Add(handshake("a.example", "1.3"))
	w.Add(handshake("a.example", "1.3"))
	w.Add(handshake("a.example", "1.2"))
	w.Add(handshake("b.example", "1.3"))
	if w.Len() != 3 {
		t.Fatalf("%d rows, want 3", w.Len())
	}
	for _, r := range w.Flush(42) {
		f := r.(*record.Tlsflow)
		want := int64(1)
		if f.SNI == "a.example" && f.Version == "1.3" {
			want = 2
		}
		if f.Time != 42 || f.Count != want {
			t.Errorf("%+v", f)
		}
	}
}

func TestTLSWindowOverflowKeepsTotals(t *testing.T) {
	const n = 2000
	w := NewTLSWindow(20)
	for i := range n {
		r := handshake(fmt.Sprint(i, ".example"), "1.3")
		r.PID = uint32(i % 70)
		w.Add(r)
	}
	if w.Len() > 3*20+1 {
		t.Errorf("%d rows", w.Len())
	}
	var sum int64
	for _, r := range w.Flush(1) {
		sum += r.(*record.Tlsflow).Count
	}
	if sum != n {
		t.Errorf("%d of %d connections", sum, n)
	}
}
