package record

import (
	"math"
	"testing"
)

func TestHistogramBuckets(t *testing.T) {
	for ns, want := range map[int64]int{
		math.MinInt64: 0, -1: 0, 0: 0, 1023: 0, 1024: 1, 2047: 1, 2048: 2, 1 << 39: 30, 1<<40 - 1: 30, 1 << 40: 31,
		math.MaxInt64: 31,
	} {
		var h, sum Histogram
		h.Add(ns)
		sum.Merge(&h)
		sum.Merge(&h)
		if h[want] != 1 || sum[want] != 2 {
			t.Errorf("%d is not in bucket %d: %v", ns, want, h)
		}
	}
}

func TestHistogramQuantile(t *testing.T) {
	var empty, one, two, last Histogram
	one[3] = 100 // 4096 to 8192
	two[1], two[5] = 50, 50
	last[31] = 1
	for _, c := range []struct {
		h    *Histogram
		q    float64
		want int64
	}{
		{&empty, 0.5, 0},
		{&one, -1, 4096},
		{&one, 0, 4096},
		{&one, 0.25, 5120},
		{&one, 0.5, 6144},
		{&one, 1, 8192},
		{&one, 7, 8192},
		{&two, 0.25, 1536},
		{&two, 0.5, 2048},
		{&two, 0.75, 24576},
		{&two, 1, 32768},
		{&last, 0.5, 1<<40 + 1<<39},
	} {
		if got := c.h.Quantile(c.q); got != c.want {
			t.Errorf("quantile %v of %v: %d, want %d", c.q, *c.h, got, c.want)
		}
	}
}

// The estimate is within the factor of two that is documented.
func TestHistogramQuantileError(t *testing.T) {
	var h Histogram
	const n = 1000
	for i := range n {
		h.Add(int64(i+1) * 10_000) // 10 µs to 10 ms, evenly
	}
	for _, q := range []float64{0.01, 0.1, 0.5, 0.9, 0.99, 1} {
		want := q * n * 10_000
		if got := float64(h.Quantile(q)); got < want/2 || got > want*2 {
			t.Errorf("quantile %v: %v, want about %v", q, got, want)
		}
	}
}
