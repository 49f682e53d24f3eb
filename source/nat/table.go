package nat

import (
	"net/netip"
	"sync"

	"weft/record"
)

// tuple is a connection as conntrack knows it. Addresses are IPv6, IPv4 is
// mapped. There are no pointers in it, so that the garbage collector need not
// look through the table.
type tuple struct {
	src, dst     [16]byte
	sport, dport uint16
}

// key is a connection before NAT, in the network namespace that does the NAT.
type key struct {
	tuple
	netns uint32
	proto record.Transport
}

// entry is what NAT makes of a connection. Times are monotonic ns; gone is 0
// while conntrack has the entry.
type entry struct {
	to         tuple
	made, gone int64
	zone       uint16
	// ambiguous: another zone has the same connection with another target.
	ambiguous bool
	dump      uint32 // the last dump that had it
}

// table holds the entries with NAT of all namespaces. A tuple that is used
// again has a version for each connection, because rows are read out later. It
// is safe for concurrent use.
type table struct {
	mu     sync.Mutex
	max    int
	newest map[key]entry
	// older are the versions before the newest one, by age.
	older   map[key][]entry
	nOlder  int
	dump    uint32
	in, out int64
	full    int64
	// ambiguities counts lookups that had to say no because of zones.
	ambiguities int64
}

func newTable(maxEntries int) *table {
	return &table{max: maxEntries, newest: map[key]entry{}, older: map[key][]entry{}}
}

// add takes an entry that was made at the time.
func (t *table) add(k key, e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in++
	have, known := t.newest[k]
	if len(t.newest)+t.nOlder >= t.max {
		t.full++
		return
	}
	if known {
		if have.gone == 0 && have.zone != e.zone && have.to != e.to {
			e.ambiguous = true
		}
		if have.gone == 0 {
			have.gone = e.made
		}
		t.older[k] = append(t.older[k], have)
		t.nOlder++
	}
	t.newest[k] = e
}

// found takes an entry that a dump has: what is known stays as old as it is, and
// what is not may be of any age.
func (t *table) found(k key, e entry) {
	t.mu.Lock()
	have, known := t.newest[k]
	if known && have.gone == 0 && have.to == e.to {
		have.dump = e.dump
		t.newest[k] = have
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	if !known {
		e.made = 0
	}
	t.add(k, e)
}

// remove takes note that conntrack deleted the entry.
func (t *table) remove(k key, e entry, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out++
	if have, ok := t.newest[k]; ok && have.to == e.to && have.zone == e.zone && have.gone == 0 {
		have.gone = now
		t.newest[k] = have
	}
}

// takeBack undoes add for an entry that did not come about.
func (t *table) takeBack(k key, e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.newest[k]; ok && have.to == e.to && have.zone == e.zone {
		t.drop(k)
	}
}

// drop removes the newest version; the one before it is the newest then.
func (t *table) drop(k key) {
	older := t.older[k]
	if len(older) == 0 {
		delete(t.newest, k)
		return
	}
	before := older[len(older)-1]
	if before.gone == t.newest[k].made {
		before.gone = 0 // only for the one that is dropped
	}
	t.newest[k] = before
	t.nOlder--
	if t.older[k] = older[:len(older)-1]; len(older) == 1 {
		delete(t.older, k)
	}
}

// nextDump numbers a dump that begins.
func (t *table) nextDump() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dump++
	return t.dump
}

// missing takes note that a dump of the namespace, which began at the time,
// did not have the entries that are older.
func (t *table) missing(netns, dump uint32, began int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.newest {
		if k.netns == netns && e.gone == 0 && e.made < began && e.dump != dump {
			e.gone = began
			t.newest[k] = e
		}
	}
}

// expire forgets what was deleted before the time; rows of such connections
// have been read out.
func (t *table) expire(before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.newest {
		if e.gone != 0 && e.gone < before {
			delete(t.newest, k)
		}
	}
	for k, versions := range t.older {
		n := 0
		for n < len(versions) && versions[n].gone < before {
			n++
		}
		t.nOlder -= n
		if n == len(versions) {
			delete(t.older, k)
		} else if n > 0 {
			t.older[k] = append(versions[:0], versions[n:]...)
		}
	}
}

// find returns what NAT made of the connection that was open when (0: not
// known). Without that it takes the newest one, if it was not deleted before
// since.
func (t *table) find(k key, when, since int64) (tuple, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.newest[k]
	if !ok {
		return tuple{}, false
	}
	if when == 0 {
		when = max(since, e.made)
	}
	for older := t.older[k]; e.made > when; older = older[:len(older)-1] {
		if len(older) == 0 {
			return tuple{}, false
		}
		e = older[len(older)-1]
	}
	if e.ambiguous {
		t.ambiguities++
		return tuple{}, false
	}
	return e.to, e.gone == 0 || e.gone >= when
}

// size is the number of entries held.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.newest) + t.nOlder
}

// mapped is an address as 16 bytes.
func mapped(a netip.Addr) [16]byte { return a.WithZone("").As16() }
