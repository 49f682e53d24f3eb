package record

import "math/bits"

// Histogram counts latencies in buckets of powers of two, the same in the
// kernel and here: bucket i holds those with bits.Len64(ns>>10) == i, that is,
// bucket 0 those below 1.024 µs and the last all from about 18 minutes on.
type Histogram [32]uint32

// bucketShift makes the first bucket end at 1024 ns.
const bucketShift = 10

// Add counts one latency in ns; a negative one counts as 0.
func (h *Histogram) Add(ns int64) {
	h[min(bits.Len64(uint64(max(ns, 0))>>bucketShift), len(h)-1)]++
}

// Merge adds the counts of o.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Quantile estimates the latency in ns that the share q (0 to 1) of the counted
// ones does not exceed. It is interpolated within a bucket as if the latencies
// were spread evenly over it, so it is off by less than a factor of two; in the
// last bucket, which has no end, it may be lower than the truth by more. It is
// 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) int64 {
	var total float64
	for _, n := range h {
		total += float64(n)
	}
	rank := min(max(q, 0), 1) * total
	var below float64
	for i, n := range h {
		if n > 0 && below+float64(n) >= rank {
			lo, hi := bucketBounds(i)
			return int64(lo + (hi-lo)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}

// bucketBounds are the lowest latency of bucket i and of the one behind it.
func bucketBounds(i int) (lo, hi float64) {
	hi = float64(uint64(1) << (i + bucketShift))
	if i == 0 {
		return 0, hi
	}
	return hi / 2, hi
}
