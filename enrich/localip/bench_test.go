package localip

import "testing"

// BenchmarkLocal asks for a peer that is known and for one that is not.
func BenchmarkLocal(b *testing.B) {
	r := New("/proc")
	defer r.Close()
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			r.Local(r.own, 0, addr("127.0.0.1"))
		}
	})
	b.Run("new", func(b *testing.B) {
		peer := addr("127.0.0.1")
		for b.Loop() {
			r.Local(r.own, 0, peer)
			peer = peer.Next()
		}
	})
}
