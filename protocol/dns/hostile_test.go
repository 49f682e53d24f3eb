package dns

import "testing"

// costly is a message made to cost: a CNAME chain of long names that differ in
// their last label only, and addresses of a name that is not on it.
func costly() []byte {
	b := []byte{0, 1, 0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0}
	name := func(last byte) (n []byte) {
		for range 120 {
			n = append(n, 1, 'a')
		}
		return append(n, 2, 'z', last, 0)
	}
	b = append(append(b, name(0)...), 0, 1, 0, 1)
	for i := range byte(20) {
		target := name(i + 1)
		b = append(append(b, name(i)...), 0, 5, 0, 1, 0, 0, 0, 9, 0, byte(len(target)))
		b = append(b, target...)
	}
	for len(b) < 0xfe00 {
		b = append(append(b, name(99)...), 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4)
	}
	return b
}

// Such a message costs what a hundred others do, not ten thousand.
func TestCostly(t *testing.T) {
	m := decoded(t, costly())
	if m.compared != maxCompared || !m.Partial || len(m.Addrs) != 0 || m.Answers != 0xffff {
		t.Errorf("%d labels were compared, partial %v, %d addresses", m.compared, m.Partial, len(m.Addrs))
	}
}

func BenchmarkCostly(b *testing.B) {
	var m Message
	msg := costly()
	for b.Loop() {
		if err := m.Decode(msg); err != nil {
			b.Fatal(err)
		}
	}
}
