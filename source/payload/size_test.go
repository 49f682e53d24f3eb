package payload

import (
	"testing"
	"unsafe"

	"weft/config"
	"weft/limit"
)

// What mem_limit is divided by is what the kernel takes: an element has a header
// of 48 bytes, and a bucket of 16.
func TestBytesPerEntry(t *testing.T) {
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	rows := spec.Maps[bpfMapRowsA]
	if got := 2 * (int(rows.KeySize+7)&^7 + int(rows.ValueSize+7)&^7 + 64); got > limit.ExchangeRowBytes {
		t.Errorf("a row takes %d bytes, the budget says %d", got, limit.ExchangeRowBytes)
	}
	path := config.Default().L7.MaxPath
	conn := 8 + int(unsafe.Offsetof(bpfStream{}.Line)) + int(lineMax(path)) + 64
	if got := conn - path; got > limit.ConnBytes {
		t.Errorf("a connection takes %d bytes beside the path, the budget says %d", got, limit.ConnBytes)
	}
}
