package limit

import (
	"fmt"
	"strings"
	"testing"
)

func plan(mem int64, given ...string) (map[string]*int, Tables, string) {
	sizes := map[string]*int{}
	for key, n := range map[string]int{
		"max_sockets": 131072, "max_flows": 65536, "l7_max_conns": 65536, "l7_ring_size": 8, "l7_max_rows": 10000,
	} {
		sizes[key] = &n
	}
	t, wrong := Plan{Mem: mem, Path: 160, Sizes: sizes, Given: func(key string) bool {
		return strings.Contains(strings.Join(given, " "), key)
	}}.Derive()
	return sizes, t, wrong
}

// More memory never means smaller tables; with much, all have their full size.
func TestSizesGrowWithMemory(t *testing.T) {
	last := map[string]int{}
	for mem := int64(52 << 20); mem <= 1<<30; mem += 4 << 20 {
		sizes, tables, wrong := plan(mem)
		if wrong != "" {
			t.Errorf("%d MiB: %s", mem>>20, wrong)
		}
		for key, n := range sizes {
			if *n < last[key] {
				t.Errorf("%d MiB: %s is %d, less than %d with less memory", mem>>20, key, *n, last[key])
			}
			last[key] = *n
		}
		if ring := *sizes["l7_ring_size"]; ring&(ring-1) != 0 {
			t.Errorf("%d MiB: a ring of %d MiB is no power of two", mem>>20, ring)
		}
		if mem == 1<<30 && (last["max_sockets"] != 131072 || tables.Side != 16384 || last["l7_max_rows"] != 10000) {
			t.Errorf("at 1 GiB: %v %+v", last, tables)
		}
	}
}

func TestGivenSizesStay(t *testing.T) {
	sizes, _, wrong := plan(256<<20, "max_sockets")
	if *sizes["max_sockets"] != 131072 || wrong != "" || *sizes["l7_max_rows"] == 10000 {
		t.Errorf("%d %s", *sizes["max_sockets"], wrong)
	}
	if _, _, wrong = plan(64<<20, "max_sockets"); !strings.Contains(wrong, "the table sizes that are given") {
		t.Errorf("tables that do not fit: %q", wrong)
	}
}

func TestTooLittle(t *testing.T) {
	for _, mem := range []int64{1, 1 << 20, 40 << 20} {
		_, _, wrong := plan(mem)
		_, least, found := strings.Cut(wrong, "is too little; allowed: ")
		var enough float64
		if _, err := fmt.Sscan(strings.TrimSuffix(least, "MiB or more"), &enough); !found || err != nil {
			t.Fatalf("%d MiB: %q", mem>>20, wrong)
		}
		if _, _, wrong := plan(int64(enough * (1 << 20))); wrong != "" {
			t.Errorf("what is said to be enough is not: %s", wrong)
		}
	}
}
