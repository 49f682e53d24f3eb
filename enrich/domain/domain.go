// Package domain knows the names that addresses were asked for: dst_domain of
// flows and exchanges. DNS answers come in from the payload's decoder, names
// go out to the pipeline. It stands between aggregation and the sinks.
//
// A process that asks a stub on this host (127.0.0.53) is known as the asker
// when loopback resolvers are seen. Otherwise the answer is the stub's own, from
// upstream: it then holds for the namespace the stub lives in, which is the
// host's, and for the whole host when the name is the only one.
package domain

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"weft/ledger"
)

const (
	defaultFloor   = 60 * time.Second
	defaultEntries = 65536
	// maxLife bounds a TTL, as RFC 8767 section 4 advises.
	maxLife = 7 * 24 * time.Hour
	// maxName is 255 octets (RFC 1035 section 2.3.4) with each of them escaped.
	maxName = 4 * 255
)

// Answer is an address that a name leads to.
type Answer struct {
	IP  netip.Addr
	TTL uint32 // seconds
}

// Options are the limits of a Cache. Zero stands for the default.
type Options struct {
	// Floor is how long an answer is believed at least, by default 60 s. It
	// should be longer than the interval, since rows leave at its end. For none
	// at all: SetFloor(0).
	Floor time.Duration
	// MaxEntries bounds the cache, by default 65536. An answer takes up to
	// three entries for each address: for its process, namespace and host.
	MaxEntries int
}

// Cache holds what was asked lately. It is safe for concurrent use.
type Cache struct {
	max int

	mu      sync.Mutex
	floor   time.Duration
	entries map[key]*entry
	order   ring
	counts  counts
}

type counts struct{ hits, misses, evicted, refused int64 }

// key is an address within a scope: a process in its namespace, a namespace
// (pid 0), the host (both 0). IPv4 is mapped into IPv6.
type key struct {
	netns, pid uint32
	ip         [16]byte
}

type entry struct {
	key        key
	names      names
	prev, next *entry
}

// New returns an empty cache.
func New(o Options) *Cache {
	c := &Cache{max: o.MaxEntries, floor: o.Floor, entries: map[key]*entry{}, order: newRing()}
	if c.max <= 0 {
		c.max = defaultEntries
	}
	if c.floor <= 0 {
		c.floor = defaultFloor
	}
	return c
}

// SetFloor changes how long answers are believed at least, from the next one
// on. Zero leaves it to the TTL alone.
func (c *Cache) SetFloor(floor time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = floor
}

// Learn stores that the name leads to these addresses, as a process was told
// in the network namespace with that inode number; either may be 0 when it is
// unknown. The name is the one that was asked: the caller has followed CNAMEs.
// It is kept in lower case without the last dot, since resolvers mix the case
// at random. Names longer than DNS allows are counted and left out.
//
// An answer is believed for its TTL, at least for the floor and at most for a
// week; its use does not prolong that. Time is in ns, of any clock, as long as
// all calls use the same.
func (c *Cache) Learn(netns, pid uint32, name string, answers []Answer, now int64) {
	name = canonical(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" || len(name) > maxName {
		c.counts.refused++
		return
	}
	for _, a := range answers {
		ip := a.IP.Unmap()
		if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
			continue // nobody connects to such an address by this name
		}
		life := min(max(time.Duration(a.TTL)*time.Second, c.floor), maxLife)
		for _, k := range scopes(netns, pid, ip) {
			c.learn(k, name, now+int64(life))
		}
	}
}

// scopes are the keys of an address, the narrowest first. A loopback address
// says nothing to others: block lists answer with it whatever is asked.
func scopes(netns, pid uint32, ip netip.Addr) []key {
	keys, addr := make([]key, 0, 3), ip.As16()
	if pid != 0 {
		keys = append(keys, key{netns, pid, addr})
	}
	if ip.IsLoopback() {
		return keys
	}
	if netns != 0 {
		keys = append(keys, key{netns, 0, addr})
	}
	return append(keys, key{0, 0, addr})
}

func (c *Cache) learn(k key, name string, until int64) {
	e := c.entries[k]
	if e == nil {
		if len(c.entries) >= c.max {
			c.remove(c.order.oldest())
			c.counts.evicted++
		}
		e = &entry{key: k}
		c.entries[k] = e
	}
	c.order.touch(e)
	e.names = e.names.add(name, until)
}

func (c *Cache) remove(e *entry) {
	delete(c.entries, e.key)
	c.order.remove(e)
}

// Domain returns the name by which a process in a namespace reaches the
// address, or "". In this order:
//
//  1. the name that the process itself asked for, of several the last asked;
//  2. the name last asked for by anyone in its namespace;
//  3. the name that anyone on the host asked for, if there is only one.
//
// A name whose time is over is never returned.
func (c *Cache) Domain(netns, pid uint32, ip netip.Addr, now int64) string {
	addr := ip.As16()
	c.mu.Lock()
	defer c.mu.Unlock()
	name := ""
	if pid != 0 {
		name = c.find(key{netns, pid, addr}, now, names.last)
	}
	if name == "" && netns != 0 {
		name = c.find(key{netns, 0, addr}, now, names.last)
	}
	if name == "" {
		name = c.find(key{0, 0, addr}, now, names.only)
	}
	if name == "" {
		c.counts.misses++
		return ""
	}
	c.counts.hits++
	return name
}

func (c *Cache) find(k key, now int64, choose func(names, int64) string) string {
	e := c.entries[k]
	if e == nil {
		return ""
	}
	name := choose(e.names, now)
	if name != "" {
		c.order.touch(e)
	}
	return name
}

// Expire frees what nobody can be told any more. Call it once an interval.
func (c *Cache) Expire(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.names.last(now) == "" {
			c.remove(e)
		}
	}
}

// canonical makes one spelling of a name (RFC 4343: ASCII letters only) that
// shares no memory with the message it came in.
func canonical(name string) string {
	b := []byte(strings.TrimSuffix(name, "."))
	for i, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			b[i] = ch + 'a' - 'A'
		}
	}
	return string(b)
}

// Gauges are the cache's fill and counters for ledger.AddGauge.
func (c *Cache) Gauges() []ledger.Gauge {
	gauge := func(name, help string, read func() int64) ledger.Gauge {
		return ledger.Gauge{Name: name, Help: help, Read: func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(read())
		}}
	}
	return []ledger.Gauge{
		gauge("domain_entries", "Addresses with a known name, per process, namespace and host.",
			func() int64 { return int64(len(c.entries)) }),
		gauge("domain_evicted_total", "Entries that left before their time because the cache was full.",
			func() int64 { return c.counts.evicted }),
		gauge("domain_hits_total", "Destinations whose name was known.",
			func() int64 { return c.counts.hits }),
		gauge("domain_misses_total", "Destinations whose name was not known.",
			func() int64 { return c.counts.misses }),
		gauge("domain_refused_total", "Answers to a name that is empty or longer than DNS allows.",
			func() int64 { return c.counts.refused }),
	}
}
