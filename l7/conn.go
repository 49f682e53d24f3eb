package l7

import (
	"slices"

	"weft/protocol"
)

// conn is a connection while it is open.
type conn struct {
	id   ConnID
	info Info
	// joined: bytes were missed before those that the protocol is found by.
	joined bool
	// dead: nothing more is wanted; only the memory of that is left.
	dead bool
	// listed: stands in Engine.holding.
	listed bool
	proto  protocol.Protocol
	parser protocol.Conn   // nil until the protocol is found
	given  protocol.Counts // what the parser gave up, as far as it is accounted for
	// touched: the parser was fed.
	touched bool
	sides   [2]side
	// ends are where the streams of both sides end, 0 while nobody knows.
	ends [2]uint64
	// from is where the sides go on after a request was handed over, nil while
	// nobody knows.
	from *[2]uint64
	// held are pieces that cannot be fed yet, in the order they came.
	held []piece
	// fed is the newest time that the Conn was told.
	fed int64
	// seen is when the last chunk came.
	seen         int64
	older, newer *conn
}

// side is one direction of a connection.
type side struct {
	// base is the offset at which the next Feed begins.
	base uint64
	// known: base is right; else the next chunk may say where it is.
	known bool
	// buf has the bytes from base on that were fed and not consumed, the first
	// of which came at begun.
	buf   []byte
	begun int64
	// gone is the last run of bytes that was skipped or lost.
	gone span
	// waits is how many captured bytes are held.
	waits int
	first first
}

// span is a run of bytes that passed without being fed.
type span struct {
	from, to uint64
	why      string // what a chunk inside it is dropped for
}

// piece is a chunk, or what is kept of it.
type piece struct {
	side     protocol.Side
	borrowed bool // data belongs to the caller of Chunk
	off      uint64
	data     []byte
	size     uint64
	at       int64
}

func (p *piece) end() uint64 { return p.off + p.size }

// next is the offset behind all that was fed.
func (s *side) next() uint64 { return s.base + uint64(len(s.buf)) }

// begin sets where the side begins, if that is for its next chunk to say.
func (s *side) begin(off uint64, joined bool) {
	if !s.known && joined {
		s.base = max(s.base, off)
	}
	s.known = true
}

// skip moves over bytes that the Conn does not want.
func (s *side) skip(n uint64) {
	to := s.base + min(n, maxOffset-min(s.base, maxOffset))
	s.gone = span{s.base, to, "skipped"}
	s.base = to
}

// old says why a chunk that holds nothing new is dropped.
func (s *side) old(off uint64) string {
	if off >= s.gone.from && off < s.gone.to {
		return s.gone.why
	}
	return "duplicate"
}

func (c *conn) open(p protocol.Protocol) {
	c.proto, c.parser, c.touched = p, p.Open(c.joined), false
}

// lowest is the index of the held piece of the side with the lowest offset of
// at least from, -1 for none.
func (c *conn) lowest(sd protocol.Side, from uint64) int {
	low := -1
	for i := range c.held {
		p := &c.held[i]
		if p.side == sd && p.off >= from && (low < 0 || p.off < c.held[low].off) {
			low = i
		}
	}
	return low
}

// append makes c the newest connection.
func (e *Engine) append(c *conn) {
	c.older, c.newer = e.age.older, &e.age
	c.older.newer, c.newer.older = c, c
}

func (e *Engine) renew(c *conn) {
	if c.newer != &e.age {
		c.unlink()
		e.append(c)
	}
}

func (c *conn) unlink() {
	c.older.newer, c.newer.older = c.newer, c.older
}

// pieceCost is what a held piece needs besides its bytes.
const pieceCost = 96

// hold puts a piece behind those that wait.
func (e *Engine) hold(c *conn, p piece) {
	p.borrowed = true
	c.held = append(c.held, p)
	c.sides[p.side].waits += len(p.data)
	e.buffered.Add(int64(len(p.data)) + pieceCost)
}

// own copies the data that still belongs to the caller of Chunk.
func (e *Engine) own(c *conn) {
	if len(c.held) == 0 {
		return
	}
	if p := &c.held[len(c.held)-1]; p.borrowed {
		p.data, p.borrowed = slices.Clone(p.data), false
	}
	if !c.listed {
		c.listed = true
		e.holding = append(e.holding, c)
	}
}

// unhold takes a piece out of those that wait.
func (e *Engine) unhold(c *conn, i int) piece {
	p := c.held[i]
	c.held = slices.Delete(c.held, i, i+1)
	if len(c.held) == 0 {
		c.held = nil
	}
	c.sides[p.side].waits -= len(p.data)
	e.buffered.Add(-int64(len(p.data)) - pieceCost)
	return p
}

// unholdAll drops the pieces that wait.
func (e *Engine) unholdAll(c *conn, why string) {
	for len(c.held) > 0 {
		e.unhold(c, len(c.held)-1)
		e.chunks.Drop(why, 1)
	}
}
