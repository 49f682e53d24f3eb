package probe

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// countBatch is how many entries one system call returns. A batch must hold
// the fullest bucket, else the kernel answers ENOSPC.
const countBatch = 1024

// countHash counts a hash's entries by batches, which visit each bucket once
// and so cannot go round for ever while entries come and go, as a walk from
// key to key can. Needs Linux 5.6.
func countHash(m *ebpf.Map) (int, error) {
	perKey, err := valuesPerKey(m.Type())
	if err != nil {
		return 0, err
	}
	size := min(countBatch, int(m.MaxEntries()))
	keys := byteArrays(size, int(m.KeySize()))
	values := byteArrays(size*perKey, int(m.ValueSize()))
	var cursor ebpf.MapBatchCursor
	for total := 0; ; {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		total += n
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return total, nil
		}
		if err != nil {
			return 0, fmt.Errorf("count entries of %s: %w", m, err)
		}
	}
}

// valuesPerKey is 1, or the number of CPUs for the per-CPU types.
func valuesPerKey(t ebpf.MapType) (int, error) {
	if t != ebpf.PerCPUHash && t != ebpf.LRUCPUHash {
		return 1, nil
	}
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, fmt.Errorf("count CPUs: %w", err)
	}
	return n, nil
}

// byteArrays makes a [][size]byte of n, the shape BatchLookup takes for
// entries whose type is not known here.
func byteArrays(n, size int) any {
	return reflect.MakeSlice(reflect.SliceOf(reflect.ArrayOf(size, reflect.TypeFor[byte]())), n, n).Interface()
}
