package l7

import (
	"slices"
	"testing"

	"weft/protocol"
)

const (
	client = protocol.Client
	server = protocol.Server
)

func join(bs ...[]byte) []byte { return slices.Concat(bs...) }

func TestWholeStream(t *testing.T) {
	r := newRig(t)
	r.chunk(client, 0, message('Q', 1, 3))
	r.chunk(server, 0, message('A', 1, 5))
	r.chunk(client, 12, join(message('Q', 2, 0), message('Q', 3, 1)))
	r.chunk(server, 14, message('A', 2, 2))
	r.chunk(server, 25, message('A', 3, 2))
	r.chunk(client, 31, message('Q', 4, 0))
	r.close()
	r.wantOut("1@0 12→14 200", "2@12 9→11 200", "3@21 10→11 200", "4@31 9→0 0")
	r.wantDrops("l7.chunks")
	r.wantLost()
	if x := r.xs[0]; x.Start != 1001*ms || x.First != 1002*ms {
		t.Errorf("times: %+v", x)
	}
	if c := r.stage("l7.connections"); c.In != 1 || c.Out != 1 {
		t.Errorf("connections: %+v", c)
	}
}

// A message that comes byte by byte is kept, and its first byte's time with it.
func TestBytewise(t *testing.T) {
	r := newRig(t)
	for i, b := range join(message('Q', 1, 3), message('Q', 2, 1)) {
		r.chunk(client, i, []byte{b})
	}
	for i, b := range join(message('A', 1, 3), message('A', 2, 3)) {
		r.chunk(server, i, []byte{b})
	}
	r.wantOut("1@0 12→12 200", "2@12 10→12 200")
	if x := r.xs[0]; x.Start != 1001*ms || x.First != 1023*ms || x.End != 1034*ms {
		t.Errorf("first: %+v", x)
	}
	if x := r.xs[1]; x.Start != 1013*ms || x.First != 1035*ms {
		t.Errorf("second: %+v", x)
	}
	r.close()
	r.wantLost()
}

// permutations calls f with every order of 0..n-1.
func permutations(n int, f func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var swap func(int)
	swap = func(k int) {
		if k == n {
			f(slices.Clone(order))
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			swap(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	swap(0)
}

func TestEveryOrderOfAWindow(t *testing.T) {
	stream := join(message('Q', 1, 3), message('Q', 2, 20), message('Q', 3, 7), message('Q', 4, 1))
	cuts := []int{0, 5, 12, 30, 43, 60, len(stream)}
	runs := 0
	permutations(len(cuts)-1, func(order []int) {
		runs++
		r := newRig(t)
		for _, i := range order {
			r.chunk(client, cuts[i], stream[cuts[i]:cuts[i+1]])
		}
		r.chunk(server, 0, join(message('A', 1, 0), message('A', 2, 0), message('A', 3, 0), message('A', 4, 0)))
		r.wantOut("1@0 12→9 200", "2@12 29→9 200", "3@41 16→9 200", "4@57 10→9 200")
		r.close()
		r.wantLost()
	})
	if runs != 720 {
		t.Errorf("%d orders, want 720", runs)
	}
}

// What waits behind a hole holds back the other side: an answer never comes
// before its request. What filled the hole late is of the time it came.
func TestHoleHoldsBackTheOtherSide(t *testing.T) {
	r := newRig(t)
	q := message('Q', 1, 21)
	r.chunk(client, 0, q[:10])
	r.chunk(client, 20, q[20:])
	r.chunk(server, 0, message('A', 1, 0))
	r.wantOut()
	r.chunk(client, 10, q[10:20])
	r.wantOut("1@0 30→9 200")
	if x := r.xs[0]; x.Start != 1001*ms || x.First != 1004*ms {
		t.Errorf("times: %+v", x)
	}
	r.close()
}

func TestDuplicatesAndOverlaps(t *testing.T) {
	r := newRig(t)
	q := join(message('Q', 1, 3), message('Q', 2, 3))
	r.chunk(client, 0, q[:15])
	r.chunk(client, 0, q[:15])  // again
	r.chunk(client, 10, q[10:]) // overlaps by 5
	r.chunk(client, 3, q[3:9])  // inside
	r.chunk(client, 30, message('Q', 3, 0))
	r.chunk(client, 30, message('Q', 3, 0)) // both wait
	r.chunk(client, 24, message('Q', 9, 0)[:6])
	r.chunk(server, 0, join(message('A', 1, 0), message('A', 2, 0)))
	r.wantOut("1@0 12→9 200", "2@12 12→9 200")
	r.wantDrops("l7.chunks", "duplicate 3")
	if n := r.e.repeated.Load(); n != 15+5+6+9 {
		t.Errorf("%d bytes repeated, want 35", n)
	}
	r.close()
}
