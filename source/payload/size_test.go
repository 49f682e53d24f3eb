package payload

import (
	"os"
	"strconv"
	"strings"
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

// All of a mapped BPF map is resident, on every kernel: the watch over mem_limit
// takes the size of such mappings off the process's resident memory.
func TestMappedMapsAreResident(t *testing.T) {
	b := begin(t, testConfig())
	defer b.stop()
	defer b.source.Close()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int{}
	ours := false
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if !strings.HasSuffix(words[0], ":") {
			ours = strings.HasSuffix(strings.TrimSpace(line), "bpf-map")
			continue
		}
		if n, err := strconv.Atoi(words[min(1, len(words)-1)]); err == nil && ours {
			sums[words[0]] += n
		}
	}
	// The ring's data is mapped twice in a row.
	if ring := testConfig().L7.RingSize << 10; sums["Rss:"] != sums["Size:"] || sums["Size:"] < 2*ring {
		t.Errorf("%d KiB of %d KiB are resident, with a ring of %d KiB", sums["Rss:"], sums["Size:"], ring)
	}
}
