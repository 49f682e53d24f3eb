package dnsflow

import (
	"hash/maphash"
	"net/netip"

	"weft/record"
)

// key is what a query and its response have in common besides the question.
type key struct {
	sock uint64
	// remote is the other end's address, or unspecified when that need not be
	// who answers; local is set when the socket is unknown.
	remote, local         [16]byte
	netns                 uint32
	localPort, remotePort record.Port
	id                    uint16 // of multicast DNS, which has none: a hash of the name
	dir                   record.Direction
}

// key is that of the datagram in a transaction of the direction. The name is of
// use for multicast DNS only.
func (t *Tracker) key(d *Datagram, dir record.Direction, name string) key {
	k := key{
		sock: d.Sock, netns: d.Flow.NetNS, localPort: d.Flow.SrcPort, remotePort: d.Flow.DstPort,
		id: t.msg.ID, dir: dir,
	}
	byName := t.byName(d)
	if byName {
		k.id = uint16(maphash.String(t.recent.seed, name))
	}
	toGroup := byName || d.Flow.Dst.IsMulticast()
	if !toGroup && d.Flow.Dst.IsValid() {
		k.remote = d.Flow.Dst.As16()
	}
	if d.Sock == 0 && !toGroup && d.Flow.Src.IsValid() {
		k.local = d.Flow.Src.As16()
	}
	return k
}

// byName tells whether the message is multicast DNS between those who speak it
// fully: both ends have its port and the ID says nothing (RFC 6762 section
// 18.1). Others, such as servers that were put on that port, have IDs.
func (t *Tracker) byName(d *Datagram) bool {
	local, remote := d.Flow.SrcPort == portMDNS, d.Flow.DstPort == portMDNS
	return local && remote || (local || remote) && t.msg.ID == 0
}

// pending is a query that waits.
type pending struct {
	key       key
	name, typ string
	flow      record.FlowKey
	start     int64
	retries   int
	// anyone: it was asked of all, so that this end owes no answer.
	anyone bool

	alike        *pending // the next one with the same key
	older, newer *pending
}

func (p *pending) asks(name, typ string) bool { return p.name == name && p.typ == typ }

// heard tells whether a response of multicast DNS comes from where the query
// went, or goes to where it came from.
func (p *pending) heard(d *Datagram) bool {
	group := p.flow.Dst
	if p.flow.Direction == record.Incoming {
		group = d.Flow.Dst
	}
	return group.IsMulticast() || p.flow.Dst == d.Flow.Dst
}

// again takes note of a repetition.
func (p *pending) again(d *Datagram) {
	p.retries++
	if p.flow.PID == 0 && d.Egress {
		p.flow.PID, p.flow.Comm = d.Flow.PID, d.Flow.Comm
	}
}

// learn takes from the response what the query did not tell. Only what a socket
// sends surely runs in its process: a client's response comes from a softirq, a
// server's tells the worker.
func (p *pending) learn(d *Datagram) {
	if d.Egress && d.Flow.PID != 0 {
		p.flow.PID, p.flow.Comm = d.Flow.PID, d.Flow.Comm
	}
	if !isHost(p.flow.Src) && isHost(d.Flow.Src) {
		p.flow.Src = d.Flow.Src
	}
}

func isHost(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() }

// table holds the queries that wait: by key, and in the order they came, which
// is that of their timeouts.
type table struct {
	byKey          map[key]*pending
	oldest, newest *pending
	n              int
	free           *pending // by alike
}

func newTable() table { return table{byKey: map[key]*pending{}} }

// add returns a new entry with the key.
func (t *table) add(k key) *pending {
	p := t.free
	if p == nil {
		p = new(pending)
	} else {
		t.free = p.alike
	}
	*p = pending{key: k, alike: t.byKey[k], older: t.newest}
	t.byKey[k] = p
	if t.newest != nil {
		t.newest.newer = p
	} else {
		t.oldest = p
	}
	t.newest = p
	t.n++
	return p
}

// remove takes the entry out; it will be used again.
func (t *table) remove(p *pending) {
	t.unchain(p)
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		t.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		t.newest = p.older
	}
	*p = pending{alike: t.free}
	t.free = p
	t.n--
}

func (t *table) unchain(p *pending) {
	first := t.byKey[p.key]
	switch {
	case first == p && p.alike == nil:
		delete(t.byKey, p.key)
	case first == p:
		t.byKey[p.key] = p.alike
	default:
		for first.alike != p {
			first = first.alike
		}
		first.alike = p.alike
	}
}

// recent remembers how transactions ended, to say of a response without a query
// what it is. It forgets those whose place another took: it only counts.
type recent struct {
	seed  maphash.Seed
	ended [1 << 13]ended
}

type ended struct {
	key  uint64
	late bool
}

func newRecent() *recent { return &recent{seed: maphash.MakeSeed()} }

func (r *recent) note(k key, late bool) {
	h := maphash.Comparable(r.seed, k)
	r.ended[h%uint64(len(r.ended))] = ended{h, late}
}

func (r *recent) why(k key) string {
	h := maphash.Comparable(r.seed, k)
	switch e := r.ended[h%uint64(len(r.ended))]; {
	case e.key != h:
		return "orphan_response"
	case e.late:
		return "late_response"
	}
	return "duplicate_response"
}
