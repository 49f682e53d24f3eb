package limit

import (
	"fmt"
	"math/bits"
)

// What one entry of a table takes, in bytes: kernel memory of the tables that
// grow together (held by tests of source/conn and source/payload), memory of
// this process for what it keeps of a row.
const (
	// SocketBytes is an entry of socks and one of reported.
	SocketBytes = 344
	// FlowBytes is an entry in each of the two flow tables.
	FlowBytes = 448
	// ConnBytes is an entry of streams without the path.
	ConnBytes = 440
	// ExchangeRowBytes is an entry in each of the two tables of HTTP/1 exchanges.
	ExchangeRowBytes = 528

	sideBytes   = 500      // an entry in each of the tables of Tables.Side
	rowBytes    = 4 << 10  // a row of l7_max_rows: each window, with overflow and its way out
	nameBytes   = 200      // an address whose name is known
	queuedBytes = 3 << 10  // a point that waits for a sink
	baseBytes   = 28 << 20 // the program itself, at rest
	tlsBytes    = 4 << 20  // and with httpflow-tls
	spareBytes  = 12 << 20 // for what is under way
)

// Tables are sizes that no key sets: what mem_limit leaves room for. 0 stands
// for the largest size.
type Tables struct {
	// Side is the size of tables of what is under way: listeners, peers of UDP
	// calls, verdicts, calls into TLS libraries.
	Side int
	// ExchangeRows is how many rows of HTTP/1 exchanges the kernel holds between
	// two read-outs.
	ExchangeRows int
	// Names is how many addresses have names.
	Names int
	// Queue is how many points may wait for a sink.
	Queue int
	// Buffer is how many bytes of payload may wait to be parsed.
	Buffer int64
}

// Plan is what the sizes are derived from.
type Plan struct {
	// Mem is mem_limit in bytes; Path is how many bytes of paths are kept.
	Mem  int64
	TLS  bool
	Path int
	// Sizes are those that have a key. Of these, Given tells those that the user
	// has set and that stay.
	Sizes map[string]*int
	Given func(key string) bool
}

// share is a part of the memory that a table gets.
type share struct {
	key     string
	at      *int
	percent int64 // of the room
	bytes   int64 // of one unit
	least   int
	most    int
}

func (p Plan) shares(t *Tables) []share {
	conn, ring := int64(ConnBytes+p.Path), int64(1<<20)
	if p.TLS {
		conn, ring = conn+250, 2*ring // the objects, and another ring
	}
	return []share{
		{"max_sockets", p.Sizes["max_sockets"], 35, SocketBytes, 4096, 131072},
		{"max_flows", p.Sizes["max_flows"], 12, FlowBytes, 1024, 65536},
		{"l7_max_conns", p.Sizes["l7_max_conns"], 5, conn, 1024, 65536},
		{"l7_ring_size", p.Sizes["l7_ring_size"], 6, ring, 1, 8},
		{"l7_max_rows", p.Sizes["l7_max_rows"], 10, rowBytes, 100, 10000},
		{"", &t.ExchangeRows, 7, ExchangeRowBytes, 1024, 65536},
		{"", &t.Side, 4, sideBytes, 1024, 16384},
		{"", &t.Names, 3, nameBytes, 1024, 65536},
		{"", &t.Queue, 8, queuedBytes, 512, 65536},
	}
}

// Derive sets the sizes that were not given. When all tables together need more
// than the limit, it says what is wrong.
func (p Plan) Derive() (t Tables, wrong string) {
	t, need, given := p.derive()
	if need <= p.Mem {
		return t, ""
	}
	wrong = mib(p.Mem) + " is too little"
	if given {
		wrong += " for the table sizes that are given"
	}
	// What else is needed grows with the limit, but not as fast.
	for p.Mem = need >> 20 << 20; need > p.Mem; _, need, _ = p.derive() {
		p.Mem += 1 << 20
	}
	return t, fmt.Sprintf("%s; allowed: %s or more", wrong, mib(p.Mem))
}

// derive says how many bytes all needs, and whether any size was given.
func (p Plan) derive() (t Tables, need int64, given bool) {
	base := int64(baseBytes + spareBytes)
	if p.TLS {
		base += tlsBytes
	}
	room := max(p.Mem-base, 0)
	t.Buffer = min(max(room/32, 1<<20), 64<<20)
	need = base + t.Buffer
	for _, s := range p.shares(&t) {
		if s.key == "" || !p.Given(s.key) {
			*s.at = s.fit(room)
		} else {
			given = true
		}
		need += int64(*s.at) * s.bytes
	}
	return t, need, given
}

// fit is the share's part of the room in units: a multiple of 1024, or for the
// ring a power of two.
func (s share) fit(room int64) int {
	n := int(min(room*s.percent/100/s.bytes, int64(s.most)))
	if s.key == "l7_ring_size" && n > 0 {
		n = 1 << (bits.Len(uint(n)) - 1)
	} else if n > 1024 && n < s.most {
		n &^= 1023
	}
	return max(n, s.least)
}
