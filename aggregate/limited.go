package aggregate

import (
	"math"

	"weft/record"
)

// limited is a window of one measurement whose number of rows is bounded. When
// it is full, a row with a new key gets a coarser key, so that no count is ever
// lost. K is the key inside the row V.
type limited[K comparable, V any] struct {
	rows map[K]*V
	// max is how many keys are told apart at each level of coarsening.
	max   int
	key   func(*V) *K
	merge func(have, row *V)
	// coarser makes keys of the next level. The last one has so few results
	// that they need no bound.
	coarser    []func(K) K
	overflowed int64
}

func newLimited[K comparable, V any](
	maxRows int, key func(*V) *K, merge func(have, row *V), coarser ...func(K) K,
) *limited[K, V] {
	if maxRows <= 0 {
		maxRows = math.MaxInt32
	}
	return &limited[K, V]{rows: map[K]*V{}, max: maxRows, key: key, merge: merge, coarser: coarser}
}

// add merges the row into the one of its key, or of the finest coarser key that
// is there or finds room. The row is copied when it is the first; its key may
// have become coarser.
func (l *limited[K, V]) add(row *V) {
	key := l.key(row)
	for level := 0; ; level++ {
		if have := l.rows[*key]; have != nil {
			l.merge(have, row)
			return
		}
		if level == len(l.coarser) || len(l.rows) < (level+1)*l.max {
			first := *row
			l.rows[*key] = &first
			return
		}
		if level == 0 {
			l.overflowed++
		}
		*key = l.coarser[level](*key)
	}
}

// flush takes all rows out.
func (l *limited[K, V]) flush(stamp func(*V) record.Record) []record.Record {
	out := make([]record.Record, 0, len(l.rows))
	for _, r := range l.rows {
		out = append(out, stamp(r))
	}
	clear(l.rows)
	return out
}

// overflow is the path or the name of the row that stands for many.
const overflow = "{overflow}"

// process keeps of a flow what tells the process and who opened it.
func process(k record.FlowKey) record.FlowKey {
	return record.FlowKey{Transport: k.Transport, Direction: k.Direction, PID: k.PID, Comm: k.Comm}
}

// host keeps of a flow who opened it.
func host(k record.FlowKey) record.FlowKey {
	return record.FlowKey{Transport: k.Transport, Direction: k.Direction}
}
