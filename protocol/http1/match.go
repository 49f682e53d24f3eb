package http1

import "weft/protocol"

// maxPending is how many requests may wait for a response.
const maxPending = 1024

// enoughWaits is how often a client waits for its answers until we believe that
// it always does.
const enoughWaits = 4

// request is an exchange in the making.
type request struct {
	protocol.Exchange
	// sent: the request is over; answered: the response is.
	sent, answered bool
	// dropped: it will not be emitted, since its response is not certain.
	dropped bool
	// absolute: the target named the host, which wins over the Host header.
	absolute bool
}

// matcher pairs responses with requests by their order. The responses to the
// requests in queue are the next ones to come, for certain. Behind them may
// be fog: unseen or dropped requests, so that it is unknown which response
// belongs to a later request. A client that waits for each answer clears the
// fog with its next request; with a pipelining client it stays.
type matcher struct {
	queue []*request
	ready []*request
	fog   bool
	// pipelined: a request was seen before the response to the one before;
	// waited: so many came when nothing was outstanding.
	pipelined bool
	waited    int
	// assumed: the fog was cleared because the client seemed to wait.
	assumed bool
	// lostServer: bytes of the server were lost while requests waited, and no
	// status line came since. Was it the answer? The next one tells.
	lostServer bool
	// orphan is when the last orphan was seen. A request from before it was
	// fed late, and its response is gone.
	orphan int64
	// interim bytes of 1xx responses before the one in progress.
	interim uint64
	counts  protocol.Counts
}

// Counts returns what was given up so far.
func (c *Conn) Counts() protocol.Counts { return c.counts }

// Adopt takes over a request that was seen elsewhere and whose response is the
// next to come; its RespBytes are those of 1xx responses that came before. It
// must be called before the first Feed. Mostly it is handed over because another
// request came behind it, so that the client is not believed to wait: after a
// loss nothing could tell which response is whose.
func (c *Conn) Adopt(pending *protocol.Exchange) {
	r := &request{Exchange: *pending, sent: true}
	r.Protocol = "http"
	r.End = max(r.End, r.Start)
	c.interim = pending.RespBytes
	c.pipelined = true
	c.queue = append(c.queue, r)
	c.fog = false
}

// begin takes the start line of a message.
func (c *Conn) begin(h *half, in *input, line []byte, at int) bool {
	offset, seen := in.Offset+uint64(at), in.At(at)
	if h.side == protocol.Server {
		s, ok := parseStatusLine(line)
		if ok {
			c.status, c.start = s.code, offset
			c.answer(seen)
		}
		h.head, h.state, h.parsed = head{}, headers, h.parsed || ok
		return ok
	}
	l, ok := parseRequestLine(line)
	if !ok {
		return false
	}
	r := &request{}
	r.Protocol, r.Version, r.ReqOffset, r.Start = "http", l.version, offset, seen
	if r.Method = intern(l.method); r.Method == "" {
		r.Method = string(l.method)
	}
	c.setTarget(r, l.target)
	c.ask(r)
	h.req, h.head, h.state, h.parsed = r, head{}, headers, true
	return true
}

// ask puts a new request into the queue if its response can be told.
func (c *Conn) ask(r *request) {
	busy := len(c.queue) > 0 || c.server.req != nil
	if !busy && !c.fog {
		c.waited++
	}
	late := r.Start < c.orphan
	if late || len(c.queue) == maxPending || c.fog && (busy || c.pipelined || c.lostServer) {
		r.dropped = true
		c.counts.Dropped++
		c.fog = true
		return
	}
	c.assumed = c.assumed || c.fog
	c.fog = false
	c.queue = append(c.queue, r)
}

// answer finds the request of a response that begins.
func (c *Conn) answer(seen int64) {
	if isInterim(c.status) {
		return
	}
	c.lostServer, c.server.req = false, nil
	if len(c.queue) > 1 && c.queue[1].Start < seen {
		c.pipelines()
	}
	if len(c.queue) == 0 || seen < c.queue[0].Start {
		c.counts.Orphans++
		c.fog, c.orphan = true, seen
		return
	}
	r := c.queue[0]
	n := copy(c.queue, c.queue[1:])
	c.queue[n] = nil
	c.queue = c.queue[:n]
	r.Status, r.First = c.status, seen
	c.server.req = r
}

// pipelines notes that the client did not wait, by the times: a request that
// is merely fed early, or before a hole is known of, shows nothing. If the fog
// was cleared because it seemed to wait, what followed is not certain.
func (c *Conn) pipelines() {
	if !c.pipelined && c.assumed {
		c.dropAll()
		c.fog = true
	}
	c.pipelined = true
}

// isInterim: a 1xx other than 101 announces the final response.
func isInterim(status int) bool { return status < 200 && status != 101 }

// endHead decides how long the body is (RFC 9112 section 6.3).
func (c *Conn) endHead(h *half, in *input) {
	if h.side == protocol.Server {
		c.endResponseHead(h, in)
		return
	}
	switch d := &h.head; {
	case d.coded && d.chunked:
		h.state = chunkSize
	case d.coded, d.badLength:
		// The server cannot know where the request ends: it refuses.
		c.endMessage(h, in.offset(), in.last(), true)
		c.hole(h)
		in.drop()
	case d.length > 0:
		h.state, h.left = body, d.length
	default:
		c.endMessage(h, in.offset(), in.last(), true)
	}
}

func (c *Conn) endResponseHead(h *half, in *input) {
	r, d := h.req, &h.head
	switch {
	case isInterim(c.status):
		c.interim += in.offset() - c.start
		h.state = startLine
	case c.status == 101, r != nil && r.Method == "CONNECT" && c.status/100 == 2:
		c.endMessage(h, in.offset(), in.last(), true)
		c.end = protocol.Upgraded
		if d.h2c && c.status == 101 {
			c.end = protocol.UpgradedH2C
		}
	case r == nil:
		// Whether a body follows depends on the request's method.
		h.state = resync
	case r.Method == "HEAD", c.status == 204, c.status == 304, d.hasLength && !d.badLength && d.length == 0 && !d.coded:
		c.endMessage(h, in.offset(), in.last(), true)
	case d.coded && d.chunked:
		h.state = chunkSize
	case d.coded, d.badLength, !d.hasLength:
		h.state = untilClose
	default:
		h.state, h.left = body, d.length
	}
}

// endMessage completes a message whose last byte is before the offset. It is
// not whole when its end was lost.
func (c *Conn) endMessage(h *half, offset uint64, seen int64, whole bool) {
	r := h.req
	h.req, h.state = nil, startLine
	if h.side == protocol.Server {
		bytes := offset - c.start + c.interim
		c.interim = 0
		if r != nil {
			r.RespBytes, r.answered = bytes, true
		}
	} else if r != nil {
		r.ReqBytes, r.sent = offset-r.ReqOffset, true
	}
	if r == nil {
		return
	}
	if h.side == protocol.Server && whole && len(c.queue) > 0 && c.queue[0].Start < seen {
		c.pipelines()
	}
	r.End = max(r.End, seen)
	if !whole {
		r.Attrs = append(r.Attrs, protocol.Attr{Key: "incomplete", Value: messageOf(h.side)})
	}
	if r.sent && r.answered && !r.dropped {
		c.ready = append(c.ready, r)
	}
}

func messageOf(side protocol.Side) string {
	if side == protocol.Client {
		return "request"
	}
	return "response"
}

// hole gives up what lost bytes make uncertain. The message in progress is
// known by its start line and leaves as incomplete. Requests that wait could
// have been answered in a hole of the server; requests and responses that were
// in a hole are fog.
func (c *Conn) hole(h *half) {
	if h.req != nil {
		c.endMessage(h, h.known, h.seen, false)
	}
	if h.side == protocol.Server {
		c.lostServer = c.lostServer || len(c.queue) > 0
		// Two wait: it pipelines, or the hole had the answer to the first.
		c.pipelined = c.pipelined || len(c.queue) > 1 && c.waited < enoughWaits
		c.dropAll()
		c.interim = 0
	}
	c.fog = true
	h.state, h.scanned, h.candidate = resync, 0, false
}

// dropAll gives up the requests that wait.
func (c *Conn) dropAll() {
	for _, r := range c.queue {
		r.dropped = true
	}
	c.counts.Dropped += uint64(len(c.queue))
	clear(c.queue)
	c.queue = c.queue[:0]
}

// flush emits the exchanges that are complete.
func (c *Conn) flush(emit protocol.Emit) {
	for i, r := range c.ready {
		c.ready[i] = nil
		emit(&r.Exchange)
	}
	c.ready = c.ready[:0]
}
