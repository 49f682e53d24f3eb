// Package sample decides which records leave. It stands in the pipeline before
// the sinks. The decision is the key's: both ends and both directions of a
// connection, on any host and in any interval, get the same one at a given rate,
// and what is kept at a rate is kept at every higher one. Pure functions.
package sample

import (
	"encoding/binary"
	"net/netip"

	"weft/record"
)

// Key is what records that must stay together have in common, well mixed.
type Key uint64

// Keep is the decision at a rate from 0 to 1.
func (k Key) Keep(rate float64) bool { return float64(k>>11)/(1<<53) < rate }

// OfFlow is the key of a flow: transport and both ends, whichever is the local
// one. A client port that is collapsed to * is no part of it: then all
// connections of a client to a server's port are decided alike. A row that
// stands for many flows ({overflow}) has no addresses; its process is its key.
func OfFlow(f *record.FlowKey) Key {
	a, b := end(f.Src, f.SrcPort), end(f.Dst, f.DstPort)
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	h := newHash()
	h.add(a[:])
	h.add(b[:])
	h.add([]byte{byte(f.Transport)})
	if !f.Src.IsValid() && !f.Dst.IsValid() {
		h.add(binary.BigEndian.AppendUint32(nil, f.PID))
	}
	return h.key()
}

func end(ip netip.Addr, port record.Port) (e [18]byte) {
	if ip.IsValid() {
		ip16 := ip.As16()
		copy(e[:], ip16[:])
	}
	binary.BigEndian.PutUint16(e[16:], uint16(port))
	return e
}

// OfPoint is the key of a record that is no flow: its trace, else its session,
// else its process. It is false for one that has none of these.
func OfPoint(p *record.Point) (Key, bool) {
	for _, name := range []string{"trace_id", "session_id", "pid"} {
		if text := find(p, name); text != "" {
			h := newHash()
			h.add([]byte(text))
			return h.key(), true
		}
	}
	return 0, false
}

func find(p *record.Point, name string) string {
	for i := range p.Tags {
		if p.Tags[i].Key == name {
			return p.Tags[i].Value
		}
	}
	for i := range p.Fields {
		if text, ok := p.Fields[i].Value.(string); ok && p.Fields[i].Key == name {
			return text
		}
	}
	return ""
}

// hash is FNV-1a, whose result is mixed since its upper bits alone decide. It
// has no seed: hosts must agree.
type hash uint64

func newHash() hash { return 14695981039346656037 }

func (h *hash) add(b []byte) {
	for _, c := range b {
		*h = (*h ^ hash(c)) * 1099511628211
	}
}

// key applies the finalizer of MurmurHash3.
func (h hash) key() Key {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return Key(h ^ h>>33)
}
