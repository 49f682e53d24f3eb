package http1

import (
	"bytes"

	"weft/protocol"
)

// state is what a side sends next.
type state uint8

const (
	resync     state = iota // unknown: wait for a start line at the start of a segment
	startLine               // a request or status line
	headers                 // header lines up to an empty one
	body                    // left bytes
	chunkSize               // the line before a chunk
	chunkData               // left bytes, then a line end
	chunkEnd                // that line end
	trailers                // lines behind the last chunk, up to an empty one
	untilClose              // a body without a length
)

// half is one side of a connection.
type half struct {
	side  protocol.Side
	state state
	head  head
	left  uint64
	// req is the request that this side is sending, or is answering; nil when
	// that is unknown.
	req *request
	// parsed: a message of this side was understood; failed counts those that
	// were not.
	parsed bool
	failed int
	// scanned bytes at the front of what is not consumed hold no line end.
	scanned int
	// candidate: what is not consumed could be a start line.
	candidate bool
	// known is the offset behind the last byte that was consumed, next the one
	// where the next Feed begins, seen when the last byte came.
	known, next uint64
	seen        int64
}

// Conn parses one connection. Apart from one line of each side (which the
// caller keeps) it holds up to maxPending requests.
type Conn struct {
	options        Options
	client, server half
	matcher
	// status and start are of the response in progress, start its offset.
	status int
	start  uint64
	end    protocol.End

	lastPath, lastHost string
}

// input is a segment and how far it is consumed.
type input struct {
	protocol.Segment
	pos  int
	skip uint64
}

func (in *input) rest() []byte { return in.Data[in.pos:] }

// offset is that of the next byte, last when the one before was seen.
func (in *input) offset() uint64 { return in.Offset + uint64(in.pos) }
func (in *input) last() int64    { return in.At(max(in.pos-1, 0)) }

// drop consumes all there is.
func (in *input) drop() { in.pos = len(in.Data) }

func (c *Conn) half(side protocol.Side) *half {
	c.server.side = protocol.Server
	if side == protocol.Server {
		return &c.server
	}
	return &c.client
}

// Feed implements protocol.Conn. Skip ends one byte before a body does, so that
// the exchange leaves when that byte comes.
func (c *Conn) Feed(seg protocol.Segment, emit protocol.Emit) protocol.Progress {
	h, in := c.half(seg.Side), input{Segment: seg}
	if c.end != "" {
		in.drop()
	}
	h.scanned = min(h.scanned, len(seg.Data))
	for in.pos < len(seg.Data) && c.end == "" && c.step(h, &in) {
		continue
	}
	h.known, h.seen = in.offset(), seg.Now
	h.next = h.known + in.skip
	c.flush(emit)
	return protocol.Progress{Consumed: in.pos, Skip: in.skip, End: c.end}
}

// step consumes one element; false: it needs more bytes than there are.
func (c *Conn) step(h *half, in *input) bool {
	switch h.state {
	case resync:
		return c.seek(h, in)
	case body, chunkData:
		return c.stepBody(h, in)
	case untilClose:
		in.drop()
		return false
	}
	if b := in.Data[in.pos]; h.state == startLine && (b == '\r' || b == '\n') {
		in.pos++ // empty lines between messages (RFC 9112 section 2.2)
		h.scanned = 0
		return true
	}
	at := in.pos
	line, verdict := h.line(in)
	if verdict == protocol.NeedMore {
		verdict = h.waiting(in.rest())
	}
	switch verdict {
	case protocol.No:
		c.fail(h, in)
	case protocol.Yes:
		c.stepLine(h, in, line, at)
	}
	return verdict != protocol.NeedMore
}

// line takes the next line, without its LF. A header line goes on in the next
// one when that begins with white space (RFC 9112 section 5.2), so it is whole
// when the byte behind it has come.
func (h *half) line(in *input) (line []byte, v protocol.Verdict) {
	rest, mayFold := in.rest(), h.state == headers || h.state == trailers
	for h.scanned < len(rest) {
		i := bytes.IndexByte(rest[h.scanned:], '\n')
		if i < 0 {
			h.scanned = len(rest)
			break
		}
		end := h.scanned + i
		switch {
		case end > maxLine:
			return nil, protocol.No
		case mayFold && !empty(rest[:end]) && end+1 == len(rest):
			h.scanned = end
			return nil, protocol.NeedMore
		case mayFold && !empty(rest[:end]) && (rest[end+1] == ' ' || rest[end+1] == '\t'):
			h.scanned = end + 1
			continue
		}
		h.scanned = 0
		in.pos += end + 1
		return rest[:end], protocol.Yes
	}
	return nil, protocol.NeedMore
}

func empty(line []byte) bool { return len(line) == 0 || len(line) == 1 && line[0] == '\r' }

// waiting judges a line that is not whole.
func (h *half) waiting(rest []byte) protocol.Verdict {
	if len(rest) > maxLine+1 || h.state == startLine && !plausible(h.side, rest) {
		return protocol.No
	}
	return protocol.NeedMore
}

// stepLine takes a whole line that began at a position of the segment.
func (c *Conn) stepLine(h *half, in *input, line []byte, at int) {
	ok := true
	switch h.state {
	case startLine:
		ok = c.begin(h, in, line, at)
	case headers:
		if empty(line) {
			c.endHead(h, in)
		} else if host := h.head.field(line); host != nil && h.side == protocol.Client && !h.req.absolute {
			h.req.Host = c.sameHost(host)
		}
	case chunkSize:
		h.left, ok = chunkLength(line)
		if h.state = chunkData; h.left == 0 {
			h.state = trailers
		}
	case chunkEnd:
		ok, h.state = empty(line), chunkSize
	case trailers:
		if empty(line) {
			c.endMessage(h, in.offset(), in.last(), true)
		}
	}
	if !ok {
		c.fail(h, in)
	}
}

// stepBody consumes what is there of a body and skips the rest.
func (c *Conn) stepBody(h *half, in *input) bool {
	n := min(h.left, uint64(len(in.rest())))
	in.pos += int(n)
	h.left -= n
	switch {
	case h.left == 0 && h.state == body:
		c.endMessage(h, in.offset(), in.last(), true)
	case h.left == 0:
		h.state = chunkEnd
	case h.state == body:
		in.skip, h.left = h.left-1, 1
	default:
		// More follows a chunk in any case: it can be skipped to its end.
		in.skip, h.left, h.state = h.left, 0, chunkEnd
	}
	return in.skip == 0
}

// seek looks for a start line where a segment starts.
func (c *Conn) seek(h *half, in *input) bool {
	fresh := len(in.Data) - in.Fresh
	if !h.candidate {
		if !in.Started || in.pos > fresh {
			in.drop()
			return false
		}
		in.pos = fresh
	}
	h.scanned = 0
	switch validStart(h.side, in.rest()) {
	case protocol.Yes:
		h.candidate, h.state = false, startLine
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

func validStart(side protocol.Side, b []byte) protocol.Verdict {
	end := bytes.IndexByte(b, '\n')
	if end < 0 && len(b) <= maxLine && plausible(side, b) {
		return protocol.NeedMore
	}
	if end < 0 || end > maxLine {
		return protocol.No
	}
	_, ok := parseStatusLine(b[:end])
	if side == protocol.Client {
		_, ok = parseRequestLine(b[:end])
	}
	if !ok {
		return protocol.No
	}
	return protocol.Yes
}

// maxFailures is how often a side may be misunderstood before we give up.
const maxFailures = 4

// fail gives up a message that is not HTTP/1 and the rest of the segment.
func (c *Conn) fail(h *half, in *input) {
	h.known, h.seen = in.offset(), in.last()
	c.hole(h)
	in.drop()
	if h.failed++; !h.parsed || h.failed == maxFailures {
		c.dropAll()
		c.end = protocol.Invalid
	}
}

// Lost implements protocol.Conn. A hole within a body of known length costs
// nothing; elsewhere the side waits for the next message it can recognise.
func (c *Conn) Lost(side protocol.Side, n uint64) {
	h := c.half(side)
	at := h.next
	h.next += n
	switch h.state {
	case untilClose:
		return
	case body, chunkData:
		if n < h.left {
			h.left -= n
			return
		}
		n -= h.left
		if h.state == body {
			c.endMessage(h, at+h.left, h.seen, true)
		} else {
			h.state = chunkEnd
		}
		if h.left = 0; n == 0 {
			return
		}
	}
	c.hole(h)
}

// Close implements protocol.Conn. Requests without a response leave with Status
// 0, and a message that was cut with an attribute "incomplete".
func (c *Conn) Close(_ int64, emit protocol.Emit) {
	if s := &c.server; s.req != nil {
		if s.state == untilClose {
			c.endMessage(s, s.next, s.seen, true)
		} else {
			c.endMessage(s, s.known, s.seen, false)
		}
	}
	if h := &c.client; h.req != nil {
		c.endMessage(h, h.known, h.seen, false)
	}
	c.ready = append(c.ready, c.queue...)
	c.queue = nil
	c.flush(emit)
}
