package http2

import (
	"encoding/binary"

	"weft/protocol"
)

// state is what a side sends next.
type state uint8

const (
	resync    state = iota // unknown: wait for frames at the start of a segment
	inPreface              // the client's first bytes
	inFrames               // a frame
	lastByte               // the last byte of a payload that ends a stream
)

// maxBlock bounds a header block and so what is buffered for a side.
const maxBlock = 64 << 10

// half is one side of a connection.
type half struct {
	side  protocol.Side
	state state
	table decoder
	block block
	// longest is how long the peer allows a frame to be.
	longest int
	// parsed: the first frame was understood; failed counts false starts.
	parsed bool
	failed int
	// candidate: what is not consumed could be a frame.
	candidate bool
	// ending is the stream that the last byte ends.
	ending uint32
	seen   int64
}

// block is a header block in parts. Data is kept only between frames.
type block struct {
	open, endStream, promise, missed bool
	stream                           uint32
	data                             []byte
	// offset and start are of the first frame.
	offset uint64
	start  int64
	bytes  uint64
}

// Conn parses one connection.
type Conn struct {
	options        Options
	client, server half
	streams        map[uint32]*stream
	// newest is the highest id of a request.
	newest uint32
	// early is the highest id of a response that came before its request.
	early uint32
	// joined: something was missed, so what seems wrong may be our mistake.
	joined bool
	ready  []*stream
	counts protocol.Counts
	end    protocol.End
}

// input is a segment and how far it is consumed.
type input struct {
	protocol.Segment
	pos  int
	skip uint64
}

func (in *input) rest() []byte { return in.Data[in.pos:] }
func (in *input) drop()        { in.pos = len(in.Data) }

func (c *Conn) half(side protocol.Side) *half {
	if side == protocol.Server {
		return &c.server
	}
	return &c.client
}

// Feed implements protocol.Conn. A frame that ends a stream is skipped but for
// its last byte, so that the exchange leaves when that byte comes.
func (c *Conn) Feed(seg protocol.Segment, emit protocol.Emit) protocol.Progress {
	h, in := c.half(seg.Side), input{Segment: seg}
	if c.end != "" {
		in.drop()
	}
	for in.pos < len(seg.Data) && c.end == "" && c.step(h, &in) {
		continue
	}
	h.seen = seg.Now
	c.flush(emit)
	return protocol.Progress{Consumed: in.pos, Skip: in.skip, End: c.end}
}

// step consumes one element; false: it needs more bytes than there are.
func (c *Conn) step(h *half, in *input) bool {
	switch h.state {
	case resync:
		return c.seek(h, in)
	case lastByte:
		c.endStream(h, h.ending, in.At(in.pos))
		in.pos++
		h.state = inFrames
		return true
	case inPreface:
		return c.stepPreface(h, in)
	}
	if len(in.rest()) < headerLen {
		return false
	}
	return c.stepFrame(h, in, parseFrame(in.rest()))
}

func (c *Conn) stepPreface(h *half, in *input) bool {
	switch rest := in.rest(); {
	case !prefaceSoFar(rest):
		c.fail(h, in)
	case len(rest) < len(preface):
		return false
	default:
		in.pos += len(preface)
		h.state = inFrames
	}
	return true
}

// stepFrame consumes a frame: whole where its payload matters, else by length.
func (c *Conn) stepFrame(h *half, in *input, f frame) bool {
	continues := f.kind == frameContinuation
	if !f.valid(h.side) || h.block.open != continues || continues && f.stream != h.block.stream ||
		!h.parsed && !c.joined && f.kind != frameSettings {
		c.fail(h, in)
		return true
	}
	headers := f.kind == frameHeaders || f.kind == framePush || continues
	need := headerLen
	switch {
	case headers && len(h.block.data)+f.length <= maxBlock, f.kind == frameSettings && f.length <= defaultFrame:
		need += f.length
	case f.kind == frameReset, f.kind == frameGoAway:
		need += min(f.length, 8)
	}
	if len(in.rest()) < need {
		return false
	}
	h.parsed = true
	start, at := in.At(in.pos), in.Offset+uint64(in.pos)
	payload := in.rest()[headerLen:need]
	in.pos += need
	left := headerLen + f.length - need
	if c.count(h.side, f, in.At(in.pos-1)); !headers {
		c.take(h, f, payload, in.At(in.pos-1))
	} else if !c.takeBlock(h, f, payload, at, start, in.At(in.pos-1)) {
		c.fail(h, in)
		return true
	}
	return c.skip(h, in, left, f)
}

// skip passes over the rest of a frame.
func (c *Conn) skip(h *half, in *input, left int, f frame) bool {
	ends := f.kind == frameData && f.has(flagEndStream)
	if ends && left == 0 {
		c.endStream(h, f.stream, in.At(in.pos-1))
	}
	if ends && left > 0 {
		left--
		h.state, h.ending = lastByte, f.stream
	}
	n := min(left, len(in.rest()))
	in.pos += n
	in.skip = uint64(left - n)
	return in.skip == 0
}

// take acts on a frame that is not of a header block.
func (c *Conn) take(h *half, f frame, payload []byte, seen int64) {
	switch f.kind {
	case frameSettings:
		c.settings(h, payload)
	case frameReset:
		c.reset(f.stream, "reset", codeName(binary.BigEndian.Uint32(payload)), seen)
	case frameGoAway:
		if h.side == protocol.Server {
			c.goAway(binary.BigEndian.Uint32(payload)&^(1<<31), codeName(binary.BigEndian.Uint32(payload[4:])), seen)
		}
	}
}

// settings are what a side allows its peer (RFC 9113 section 6.5.2). A table
// that may grow grows when the encoder says so; one that must shrink is shrunk
// by the encoder too (RFC 7541 section 4.2).
func (c *Conn) settings(h *half, payload []byte) {
	const tableSize, frameSize = 1, 5
	peer := c.half(h.side.Peer())
	for ; len(payload) >= 6; payload = payload[6:] {
		value := int(binary.BigEndian.Uint32(payload[2:]))
		switch binary.BigEndian.Uint16(payload) {
		case tableSize:
			peer.table.allowed = max(peer.table.allowed, value)
		case frameSize:
			peer.longest = max(peer.longest, min(value, maxBlock))
		}
	}
}

// takeBlock collects the parts of a header block and decodes it when it is
// whole; one that is too long is missed.
func (c *Conn) takeBlock(h *half, f frame, payload []byte, offset uint64, start, seen int64) bool {
	b := &h.block
	if f.kind != frameContinuation {
		*b = block{open: true, stream: f.stream, data: b.data[:0], offset: offset, start: start,
			endStream: f.kind == frameHeaders && f.has(flagEndStream), promise: f.kind == framePush}
	}
	b.bytes += f.bytes()
	if len(payload) < f.length {
		b.missed, b.data = true, nil
	} else if f.kind != frameContinuation {
		var ok bool
		if payload, ok = f.unpad(payload); !ok {
			return false
		}
	}
	if !f.has(flagEndHeaders) {
		if !b.missed {
			b.data = append(b.data, payload...)
		}
		return true
	}
	if len(b.data) > 0 {
		b.data = append(b.data, payload...)
		payload = b.data
	}
	return c.endBlock(h, payload, seen)
}

// endBlock decodes a block.
func (c *Conn) endBlock(h *half, data []byte, seen int64) bool {
	b, f := &h.block, fields{unseen: h.block.missed}
	b.open = false
	if b.missed {
		h.table.miss()
		c.joined = true
	} else if !h.table.decode(data, &f) {
		return false
	}
	if cap(b.data) > maxBlock/16 {
		b.data = nil // rare: most blocks are in one frame
	}
	switch {
	case b.promise: // the response to it is on a stream that no request opened
		return true
	case h.side == protocol.Client:
		c.request(b, &f)
	default:
		c.response(b, &f)
	}
	if b.endStream {
		c.endStream(h, b.stream, seen)
	} else if s := c.streams[b.stream]; s != nil {
		s.End = max(s.End, seen)
	}
	return true
}

// seek looks for frames where a segment starts.
func (c *Conn) seek(h *half, in *input) bool {
	fresh := len(in.Data) - in.Fresh
	if !h.candidate {
		if !in.Started || in.pos > fresh || in.Fresh == 0 {
			in.drop()
			return false
		}
		in.pos = fresh
	}
	rest := in.rest()
	if h.side == protocol.Client && !h.parsed && prefaceSoFar(rest) {
		h.candidate, h.state = false, inPreface
		h.table = newDecoder(h.table.static, true)
		return true
	}
	switch looksLike(h.side, rest, h.longest) {
	case protocol.Yes:
		h.candidate, h.state = false, inFrames
		return true
	case protocol.NeedMore:
		h.candidate = true
		return false
	}
	if h.candidate {
		h.candidate = false
		in.pos = min(in.pos, fresh)
		return true
	}
	in.drop()
	return false
}

// maxFailures is how often frames may be found where none are.
const maxFailures = 8

// fail gives up the rest of the segment, or the connection.
func (c *Conn) fail(h *half, in *input) {
	wasJoined := c.joined
	c.hole(h, in.Now)
	in.drop()
	if h.failed++; !wasJoined || h.failed == maxFailures {
		c.hole(&c.server, in.Now)
		c.end = protocol.Invalid
	}
}

// Lost implements protocol.Conn. A hole costs the side's HPACK table and where
// its frames begin; exchanges are matched by stream, so they stay right.
func (c *Conn) Lost(side protocol.Side, n uint64) {
	h := c.half(side)
	if h.state == lastByte {
		c.endStream(h, h.ending, h.seen)
		h.state = inFrames
		if n == 1 {
			return
		}
	}
	c.hole(h, h.seen)
}

// hole forgets what lost bytes of a side may have changed.
func (c *Conn) hole(h *half, seen int64) {
	h.state, h.candidate, h.parsed, c.joined = resync, false, true, true
	h.block = block{}
	h.table.miss()
	for _, id := range c.ids() {
		if s := c.streams[id]; h.side == protocol.Server {
			s.hole()
		} else if !s.sent {
			s.attr("incomplete", "request")
			c.endStream(h, id, seen)
		}
	}
}

// Close implements protocol.Conn. Streams that are open leave: with Status 0
// when there was no response, with an attribute "incomplete" when it was cut.
func (c *Conn) Close(_ int64, emit protocol.Emit) {
	for _, id := range c.ids() {
		c.leave(id)
	}
	c.flush(emit)
}
