package domain

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

const sec = int64(time.Second)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func to(ttl uint32, ips ...string) []Answer {
	answers := make([]Answer, len(ips))
	for i, s := range ips {
		answers[i] = Answer{IP: ip(s), TTL: ttl}
	}
	return answers
}

func expect(t *testing.T, c *Cache, netns, pid uint32, addr string, now int64, want string) {
	t.Helper()
	if got := c.Domain(netns, pid, ip(addr), now); got != want {
		t.Errorf("namespace %d, process %d, %s at %ds: got %q, want %q", netns, pid, addr, now/sec, got, want)
	}
}

func gauge(t *testing.T, c *Cache, name string) float64 {
	t.Helper()
	for _, g := range c.Gauges() {
		if g.Name == name {
			return g.Read()
		}
	}
	t.Fatalf("no gauge %s", name)
	return 0
}

func TestScopes(t *testing.T) {
	c := New(Options{})
	c.Learn(1, 10, "own.example", to(300, "192.0.2.1", "2001:db8::1"), 0)
	c.Learn(1, 11, "other.example", to(300, "192.0.2.1"), sec)
	c.Learn(2, 20, "elsewhere.example", to(300, "192.0.2.2"), sec)
	for _, tt := range []struct {
		netns, pid uint32
		addr, want string
	}{
		{1, 10, "192.0.2.1", "own.example"},        // its own, though another came later
		{1, 11, "192.0.2.1", "other.example"},      //
		{1, 12, "192.0.2.1", "other.example"},      // the last of its namespace
		{1, 0, "192.0.2.1", "other.example"},       // nobody knows the process
		{2, 20, "192.0.2.1", ""},                   // two names on the host
		{0, 0, "192.0.2.1", ""},                    //
		{2, 20, "2001:db8::1", "own.example"},      // one name on the host
		{1, 10, "192.0.2.2", "elsewhere.example"},  //
		{2, 10, "2001:db8::1", "own.example"},      // process of that pid in another namespace
		{0, 0, "192.0.2.2", "elsewhere.example"},   //
		{1, 10, "::ffff:192.0.2.1", "own.example"}, // mapped
		{1, 10, "192.0.2.3", ""},
	} {
		expect(t, c, tt.netns, tt.pid, tt.addr, 2*sec, tt.want)
	}
	if hits, misses := gauge(t, c, "domain_hits_total"), gauge(t, c, "domain_misses_total"); hits != 9 || misses != 3 {
		t.Errorf("%v hits and %v misses, want 9 and 3", hits, misses)
	}
	// Process and host know of three addresses each, the namespaces of three,
	// and two processes asked for 192.0.2.1.
	if got := gauge(t, c, "domain_entries"); got != 4+3+3 {
		t.Errorf("%v entries", got)
	}
	if got := c.Domain(1, 10, netip.Addr{}, 0); got != "" {
		t.Errorf("no address: %q", got)
	}
}

func TestWhatIsLearnt(t *testing.T) {
	c := New(Options{})
	c.Learn(1, 10, "WwW.eXample.COM.", to(300, "::ffff:192.0.2.1", "fe80::1"), 0)
	expect(t, c, 1, 10, "192.0.2.1", 0, "www.example.com")
	expect(t, c, 1, 11, "::ffff:192.0.2.1", 0, "www.example.com")
	if got := c.Domain(1, 10, ip("fe80::1%eth0"), 0); got != "www.example.com" {
		t.Errorf("with a zone: %q", got)
	}
	// A block list's answers say nothing about anybody else's connections.
	c.Learn(1, 10, "ads.example", to(300, "127.0.0.1", "0.0.0.0", "::", "::1"), 0)
	expect(t, c, 1, 10, "127.0.0.1", 0, "ads.example")
	expect(t, c, 1, 10, "::1", 0, "ads.example")
	expect(t, c, 1, 11, "127.0.0.1", 0, "")
	expect(t, c, 1, 10, "0.0.0.0", 0, "")
	expect(t, c, 1, 10, "::", 0, "")
	// Learnt without a process or a namespace.
	c.Learn(1, 0, "ns.example", to(300, "192.0.2.5"), 0)
	c.Learn(0, 0, "host.example", to(300, "192.0.2.6"), 0)
	expect(t, c, 1, 10, "192.0.2.5", 0, "ns.example")
	expect(t, c, 1, 10, "192.0.2.6", 0, "host.example")
	before := gauge(t, c, "domain_entries")
	c.Learn(1, 10, ".", to(300, "192.0.2.7"), 0)
	c.Learn(1, 10, strings.Repeat("a", maxName+1), to(300, "192.0.2.7"), 0)
	c.Learn(1, 10, "multicast.example", to(300, "224.0.0.251"), 0)
	c.Learn(1, 10, "none.example", []Answer{{}}, 0)
	if gauge(t, c, "domain_entries") != before || gauge(t, c, "domain_refused_total") != 2 {
		t.Error("something was learnt from no name, a monster or a useless address")
	}
}

func TestExpiry(t *testing.T) {
	c := New(Options{Floor: 30 * time.Second})
	c.Learn(1, 10, "short.example", to(5, "192.0.2.1"), 0)
	c.Learn(1, 10, "long.example", to(100, "192.0.2.2"), 0)
	c.Learn(1, 10, "forever.example", to(1<<32-1, "192.0.2.3"), 0)
	for at := range 30 * sec / sec {
		expect(t, c, 1, 10, "192.0.2.1", at*sec, "short.example") // use does not prolong it
	}
	expect(t, c, 1, 10, "192.0.2.1", 30*sec-1, "short.example")
	expect(t, c, 1, 10, "192.0.2.1", 30*sec, "")
	expect(t, c, 1, 11, "192.0.2.1", 30*sec, "")
	expect(t, c, 1, 10, "192.0.2.2", 100*sec-1, "long.example")
	expect(t, c, 1, 10, "192.0.2.2", 100*sec, "")
	week := int64(maxLife)
	expect(t, c, 1, 10, "192.0.2.3", week-1, "forever.example")
	expect(t, c, 1, 10, "192.0.2.3", week, "")
	c.SetFloor(time.Hour)
	c.Learn(1, 10, "short.example", to(5, "192.0.2.1"), 100*sec)
	expect(t, c, 1, 10, "192.0.2.1", 3700*sec-1, "short.example")
	expect(t, c, 1, 10, "192.0.2.1", 3700*sec, "")
	c.SetFloor(0)
	c.Learn(1, 10, "ttl.example", to(2, "192.0.2.4"), 0)
	expect(t, c, 1, 10, "192.0.2.4", 2*sec-1, "ttl.example")
	expect(t, c, 1, 10, "192.0.2.4", 2*sec, "")
	c = New(Options{})
	c.Learn(1, 10, "floor.example", to(0, "192.0.2.4"), 0)
	expect(t, c, 1, 10, "192.0.2.4", int64(defaultFloor)-1, "floor.example")
	expect(t, c, 1, 10, "192.0.2.4", int64(defaultFloor), "")
}

func TestExpire(t *testing.T) {
	c := New(Options{})
	c.Learn(1, 10, "a.example", to(60, "192.0.2.1", "192.0.2.2"), 0)
	c.Learn(1, 10, "b.example", to(90, "192.0.2.2"), 0)
	c.Expire(60*sec - 1)
	if got := gauge(t, c, "domain_entries"); got != 6 {
		t.Errorf("%v entries before their time", got)
	}
	c.Expire(60 * sec)
	if got := gauge(t, c, "domain_entries"); got != 3 {
		t.Errorf("%v entries, want those of the second address", got)
	}
	expect(t, c, 1, 10, "192.0.2.2", 60*sec, "b.example")
	c.Expire(90 * sec)
	if gauge(t, c, "domain_entries") != 0 || ringLen(c) != 0 || gauge(t, c, "domain_evicted_total") != 0 {
		t.Error("something is left, or counts as evicted")
	}
}

func TestSeveralNames(t *testing.T) {
	c := New(Options{Floor: time.Second})
	c.Learn(1, 10, "a.example", to(100, "192.0.2.1"), 0)
	c.Learn(1, 10, "b.example", to(10, "192.0.2.1"), sec)
	expect(t, c, 1, 10, "192.0.2.1", 2*sec, "b.example")
	expect(t, c, 2, 20, "192.0.2.1", 2*sec, "")
	// The last asked is over, the one before it is not; now it is the only one.
	expect(t, c, 1, 10, "192.0.2.1", 11*sec, "a.example")
	expect(t, c, 2, 20, "192.0.2.1", 11*sec, "a.example")
	// Asked again with a shorter life: the earlier answer still holds.
	c.Learn(1, 10, "b.example", to(10, "192.0.2.1"), 12*sec)
	c.Learn(1, 10, "a.example", to(1, "192.0.2.1"), 13*sec)
	expect(t, c, 1, 10, "192.0.2.1", 15*sec, "a.example")
	expect(t, c, 1, 10, "192.0.2.1", 100*sec-1, "a.example")
	expect(t, c, 1, 10, "192.0.2.1", 100*sec, "")
}

// TestManyNames: an address with more names than are kept never seems to have
// just one while several hold.
func TestManyNames(t *testing.T) {
	c := New(Options{Floor: time.Second})
	until := map[string]int64{}
	for i, ttl := range []uint32{50, 9, 31, 7, 90, 2, 60, 44, 3, 12, 80, 5} {
		name := fmt.Sprintf("n%d.example", i)
		c.Learn(1, 10, name, to(ttl, "192.0.2.1"), int64(i)*sec)
		until[name] = (int64(i) + int64(ttl)) * sec
		expect(t, c, 1, 10, "192.0.2.1", int64(i)*sec, name)
	}
	for now := 12 * sec; now < 100*sec; now += sec {
		live, one := 0, ""
		for name, end := range until {
			if end > now {
				live, one = live+1, name
			}
		}
		if live != 1 {
			one = ""
		}
		expect(t, c, 2, 20, "192.0.2.1", now, one)
		if got := c.Domain(1, 10, ip("192.0.2.1"), now); (got == "") != (live == 0) || got != "" && until[got] <= now {
			t.Errorf("%ds: got %q of %d live", now/sec, got, live)
		}
	}
	if n := len(c.order.head.next.names); n > maxNames {
		t.Errorf("%d names kept", n)
	}
}

func TestEviction(t *testing.T) {
	c := New(Options{MaxEntries: 30})
	learn := func(i int) { c.Learn(1, 10, "n.example", []Answer{{IP: nth(i), TTL: 300}}, 0) }
	for i := range 10 {
		learn(i)
	}
	if got := gauge(t, c, "domain_evicted_total"); got != 0 {
		t.Fatalf("%v evicted of a cache that is just full", got)
	}
	if c.Domain(1, 10, nth(0), 0) == "" {
		t.Fatal("the first is gone")
	}
	learn(10)
	learn(11)
	if got := gauge(t, c, "domain_evicted_total"); got != 6 {
		t.Errorf("%v evicted, want 6", got)
	}
	if got := gauge(t, c, "domain_entries"); got != 30 || len(c.entries) != ringLen(c) {
		t.Errorf("%v entries, %d in order", got, ringLen(c))
	}
	if c.Domain(1, 10, nth(0), 0) == "" {
		t.Error("the last used was evicted")
	}
	if c.Domain(1, 10, nth(1), 0) != "" {
		t.Error("the longest unused was not evicted")
	}
}

// nth is one of many addresses.
func nth(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// TestConcurrentUse has four processes learn and look up: in a cache that holds
// all of it, and in one that evicts all the time.
func TestConcurrentUse(t *testing.T) {
	const processes, rounds, addrs = 4, 5000, 500
	for _, size := range []int{addrs * (processes + 2), 300} {
		c := New(Options{MaxEntries: size})
		var all sync.WaitGroup
		for g := range uint32(processes) {
			all.Go(func() {
				name := fmt.Sprintf("g%d.example", g)
				for i := range rounds {
					c.Learn(1, 10+g, name, []Answer{{IP: nth(i % addrs), TTL: 60}}, 0)
					if got := c.Domain(1, 10+g, nth(i%addrs), 0); got != name && size > 300 {
						t.Errorf("right after learning %s: %q", name, got)
					}
					if i%100 == 0 {
						c.Expire(0)
						c.SetFloor(time.Minute)
						gauge(t, c, "domain_entries")
					}
				}
			})
		}
		all.Wait()
		asked := gauge(t, c, "domain_hits_total") + gauge(t, c, "domain_misses_total")
		if asked != processes*rounds || len(c.entries) != size || ringLen(c) != size {
			t.Errorf("%v look-ups, %d entries, %d in order, want %d", asked, len(c.entries), ringLen(c), size)
		}
		c.Expire(60 * sec)
		if len(c.entries) != 0 || ringLen(c) != 0 {
			t.Errorf("%d entries, %d in order after their time", len(c.entries), ringLen(c))
		}
	}
}

func ringLen(c *Cache) int {
	n := 0
	for e := c.order.head.next; e != c.order.head; e = e.next {
		n++
	}
	return n
}

// BenchmarkDomain looks up among few and among as many addresses as fit.
func BenchmarkDomain(b *testing.B) {
	for _, n := range []int{100, defaultEntries / 3} {
		c := New(Options{})
		ips := make([]netip.Addr, n)
		for i := range ips {
			ips[i] = nth(i * 7919)
			c.Learn(1, 10, fmt.Sprintf("n%d.example", i), []Answer{{IP: ips[i], TTL: 300}}, 0)
		}
		for name, pid := range map[string]uint32{"process": 10, "namespace": 11} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if c.Domain(1, pid, ips[i%n], 0) == "" {
						b.Fatal("unknown")
					}
				}
			})
		}
		b.Run(fmt.Sprintf("unknown/%d", n), func(b *testing.B) {
			stranger := ip("192.0.2.1")
			for b.Loop() {
				c.Domain(1, 10, stranger, 0)
			}
		})
	}
}

func BenchmarkLearn(b *testing.B) {
	c := New(Options{})
	for i := 0; b.Loop(); i++ {
		c.Learn(1, 10, "www.example.com", []Answer{{IP: nth(i), TTL: 300}}, 0)
	}
}
