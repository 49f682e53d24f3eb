package nat

import (
	"testing"

	"weft/record"
)

func at(b byte) tuple { return tuple{dst: [16]byte{15: b}, dport: 80} }

// Which of several connections with the same tuple it is depends on when it was
// open; nothing else is a guess.
func TestVersions(t *testing.T) {
	tb := newTable(10)
	k := key{tuple: tuple{sport: 1}, netns: 1, proto: record.TCP}
	tb.add(k, entry{to: at(1), made: 100})
	tb.remove(k, entry{to: at(1)}, 200)
	tb.add(k, entry{to: at(2), made: 200})
	tb.add(k, entry{to: at(3), made: 300}) // the deletion of the one before was not seen
	tb.remove(k, entry{to: at(3)}, 400)
	for _, c := range []struct {
		when, since int64
		want        tuple
		ok          bool
	}{
		{when: 50}, {when: 100, want: at(1), ok: true}, {when: 150, want: at(1), ok: true},
		{when: 200, want: at(2), ok: true}, {when: 299, want: at(2), ok: true}, {when: 350, want: at(3), ok: true},
		{when: 500}, {since: 390, want: at(3), ok: true}, {since: 410},
	} {
		if got, ok := tb.find(k, c.when, c.since); ok != c.ok || ok && got != c.want {
			t.Errorf("when %d, since %d: %v %v, want %v %v", c.when, c.since, got.dst[15], ok, c.want.dst[15], c.ok)
		}
	}
	if _, ok := tb.find(key{tuple: k.tuple, netns: 2, proto: record.TCP}, 150, 0); ok {
		t.Error("found in another namespace")
	}
	if _, ok := tb.find(key{tuple: k.tuple, netns: 1, proto: record.UDP}, 150, 0); ok {
		t.Error("found for another protocol")
	}
}

// What was deleted stays as long as rows may ask for it, and no longer.
func TestExpire(t *testing.T) {
	tb := newTable(10)
	k := key{tuple: tuple{sport: 1}, proto: record.TCP}
	for i := range int64(3) {
		tb.add(k, entry{to: at(byte(i)), made: 100 + i*100})
	}
	tb.expire(250)
	if _, ok := tb.find(k, 150, 0); ok || tb.size() != 2 {
		t.Errorf("%d left, and the one deleted at 200 is found: %v", tb.size(), ok)
	}
	if got, ok := tb.find(k, 250, 0); !ok || got != at(1) {
		t.Error("the one deleted at 300 is lost")
	}
	tb.remove(k, entry{to: at(2)}, 400)
	tb.expire(1000)
	if tb.size() != 0 || len(tb.older) != 0 || len(tb.newest) != 0 {
		t.Errorf("%d left", tb.size())
	}
}

// The same connection in two zones, with two targets: neither is said.
func TestZones(t *testing.T) {
	tb := newTable(10)
	k := key{tuple: tuple{sport: 1}, proto: record.TCP}
	tb.add(k, entry{to: at(1), made: 100, zone: 1})
	tb.add(k, entry{to: at(2), made: 100, zone: 2})
	if _, ok := tb.find(k, 150, 0); ok || tb.ambiguities != 1 {
		t.Errorf("found: %v, %d counted", ok, tb.ambiguities)
	}
}

// What lost against another packet of its flow was never there.
func TestTakeBack(t *testing.T) {
	tb := newTable(10)
	k := key{tuple: tuple{sport: 1}, proto: record.UDP}
	tb.add(k, entry{to: at(1), made: 100})
	tb.add(k, entry{to: at(2), made: 101})
	tb.takeBack(k, entry{to: at(2)})
	if got, ok := tb.find(k, 0, 200); !ok || got != at(1) || tb.size() != 1 {
		t.Errorf("%v %v, %d left", got.dst[15], ok, tb.size())
	}
	tb.takeBack(k, entry{to: at(1)})
	if tb.size() != 0 {
		t.Errorf("%d left", tb.size())
	}
}

// A dump confirms what is known, adds what is not, and ends what it lacks.
func TestDump(t *testing.T) {
	tb := newTable(10)
	k := func(port uint16) key { return key{tuple: tuple{sport: port}, netns: 1, proto: record.TCP} }
	tb.add(k(1), entry{to: at(1), made: 100})
	tb.add(k(2), entry{to: at(2), made: 100})
	n := tb.nextDump()
	tb.found(k(1), entry{to: at(1), made: 200, dump: n})
	tb.found(k(3), entry{to: at(3), made: 200, dump: n})
	tb.add(k(4), entry{to: at(4), made: 201}) // made while the dump went on
	tb.missing(1, n, 200)
	for port, ok := range map[uint16]bool{1: true, 2: false, 3: true, 4: true} {
		if _, found := tb.find(k(port), 300, 0); found != ok {
			t.Errorf("port %d: found %v, want %v", port, found, ok)
		}
	}
	if _, ok := tb.find(k(3), 50, 0); !ok {
		t.Error("one that only a dump told of may be of any age")
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{24, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 1, 0x80}, true)
	f.Fuzz(func(_ *testing.T, b []byte, one bool) {
		if one {
			_, _ = parseMessage(b)
			return
		}
		_, _ = messages(b, func(*message) {})
	})
}
