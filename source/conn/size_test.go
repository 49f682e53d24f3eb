package conn

import (
	"testing"

	"weft/limit"
)

// What mem_limit is divided by is what the kernel takes: an element has a header
// of 48 bytes, and a bucket of 16.
func TestBytesPerEntry(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string) int {
		m := spec.Maps[name]
		return int(m.KeySize+7)&^7 + int(m.ValueSize+7)&^7 + 64
	}
	if got := entry("socks") + entry("reported"); got > limit.SocketBytes {
		t.Errorf("a socket takes %d bytes, the budget says %d", got, limit.SocketBytes)
	}
	if got := entry("flows_a") + entry("flows_b"); got > limit.FlowBytes {
		t.Errorf("a flow takes %d bytes, the budget says %d", got, limit.FlowBytes)
	}
}
