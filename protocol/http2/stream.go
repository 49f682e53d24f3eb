package http2

import (
	"slices"
	"strconv"
	"strings"

	"weft/protocol"
)

// What a stream keeps of a header block is bounded, since it may stay open.
// No real method, authority or gRPC path is longer than these.
const (
	maxMethod  = 32
	maxHost    = 512
	maxTarget  = 1 << 10 // of a gRPC call
	maxMessage = 4 << 10
)

// unknown stands for what only missed HPACK state would tell.
const unknown = "unknown"

// stream is an exchange in the making.
type stream struct {
	protocol.Exchange
	// sent: the request is over; answered: the response is.
	sent, answered bool
	// unseen: the request's content type may have been missed.
	unseen bool
	// noStatus: a response came whose status is unknown, or may have come in a
	// hole.
	noStatus bool
	// holed: bytes of the server were lost since its last frame on the stream.
	holed bool
}

func (s *stream) attr(key, value string) {
	s.Attrs = append(s.Attrs, protocol.Attr{Key: key, Value: value})
}

// hole tells that bytes of the server are lost, perhaps of this stream.
func (s *stream) hole() {
	s.holed = true
	s.noStatus = s.noStatus || s.First == 0
}

// Counts returns what was given up so far.
func (c *Conn) Counts() protocol.Counts { return c.counts }

// count adds a frame to the bytes of its stream.
func (c *Conn) count(side protocol.Side, f frame, seen int64) {
	s := c.streams[f.stream]
	if s == nil {
		return
	}
	s.End = max(s.End, seen)
	if side == protocol.Client {
		s.ReqBytes += f.bytes()
		return
	}
	s.RespBytes += f.bytes()
	s.holed = false
}

// request takes a header block of the client: a request's, or trailers.
func (c *Conn) request(b *block, f *fields) {
	if b.stream%2 == 0 || b.stream <= c.newest || c.streams[b.stream] != nil {
		return
	}
	known := f.have[method] || f.have[path]
	if !known && (!f.unseen || c.newest == 0) || len(f.value[method]) > maxMethod {
		// Trailers of a request from before we joined, or perhaps so.
		c.counts.Dropped++
		return
	}
	c.newest = b.stream
	if len(c.streams) >= c.options.MaxStreams {
		c.evict()
	}
	if len(c.streams) >= c.options.MaxStreams {
		c.counts.Dropped++
		return
	}
	s := &stream{unseen: f.unseen}
	if c.server.state == resync || b.stream <= c.early {
		s.hole()
	}
	s.Protocol, s.Version, s.StreamID = "http2", "2", b.stream
	s.ReqOffset, s.ReqBytes, s.Start = b.offset, b.bytes, b.start
	s.Method, s.Path, s.Host = f.value[method], f.value[path], f.value[authority]
	if s.Host == "" {
		s.Host = f.value[host]
	}
	s.Host = first(s.Host, maxHost)
	if f.unseen && !f.have[method] {
		s.Method = unknown
	}
	if f.unseen && !f.have[path] {
		s.Path = unknown
	}
	if s.Method == "CONNECT" && !f.have[path] {
		s.Path = s.Host // RFC 9113 section 8.5
	}
	if isGRPC(f.value[contentType]) {
		s.setGRPC(s.Path)
	}
	c.cut(s)
	c.streams[b.stream] = s
}

func (c *Conn) cut(s *stream) {
	if !c.options.KeepQuery && s.Method != "CONNECT" {
		s.Path, _, _ = strings.Cut(s.Path, "?")
	}
	if limit := c.options.MaxPath; limit > 0 && len(s.Path) > limit && s.Path != unknown {
		s.Path, s.Truncated = first(s.Path, limit), true
	}
}

// first is the beginning of a string, which does not hold the rest in memory.
func first(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.Clone(s[:limit])
}

// response takes a header block of the server: an interim or the final head,
// or trailers.
func (c *Conn) response(b *block, f *fields) {
	code := 0
	if v := f.value[status]; len(v) == 3 {
		code, _ = strconv.Atoi(v)
	}
	s := c.streams[b.stream]
	switch {
	case s == nil:
		if code >= 200 && b.stream%2 == 1 {
			c.counts.Orphans++
			c.early = max(c.early, b.stream)
		}
		return
	case code >= 200:
		s.Status, s.First, s.noStatus = code, b.start, false
	case code == 0 && f.unseen && s.First == 0 && !s.noStatus:
		s.First, s.noStatus = b.start, true // it could be an interim one
	}
	if s.GRPC == nil && s.unseen && (isGRPC(f.value[contentType]) || f.have[grpcStatus]) {
		s.setGRPC(s.Path)
	}
	if s.GRPC == nil || !f.have[grpcStatus] {
		return
	}
	if n, err := strconv.ParseUint(f.value[grpcStatus], 10, 31); err == nil {
		s.GRPC.Status = int(n)
	}
	s.GRPC.Message = percentDecode(first(f.value[grpcMessage], maxMessage))
}

// isGRPC: application/grpc, +proto and so on, but not -web, which has its
// trailers in the body.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// setGRPC makes the stream a call of /pkg.Service/Method.
func (s *stream) setGRPC(target string) {
	s.Protocol = "grpc"
	s.GRPC = &protocol.GRPC{Service: unknown, Method: unknown, Status: -1}
	if target == unknown || s.Truncated || len(target) > maxTarget {
		return
	}
	target, _, _ = strings.Cut(target, "?")
	target = strings.TrimPrefix(target, "/")
	i := strings.LastIndexByte(target, '/')
	s.GRPC.Service, s.GRPC.Method = target[:max(i, 0)], target[i+1:]
}

// percentDecode leaves what is not an escape as it is, as gRPC's "HTTP/2
// transport mapping" wants it.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// endStream notes that a side is done with a stream.
func (c *Conn) endStream(h *half, id uint32, seen int64) {
	s := c.streams[id]
	if s == nil {
		return
	}
	s.End = max(s.End, seen)
	if h.side == protocol.Client {
		s.sent = true
	} else {
		s.answered = true
	}
	if s.sent && s.answered {
		c.leave(id)
	}
}

// reset ends a stream with the reason.
func (c *Conn) reset(id uint32, key, reason string, seen int64) {
	if s := c.streams[id]; s != nil {
		s.End = max(s.End, seen)
		s.attr(key, reason)
		c.leave(id)
	}
}

// goAway ends the streams that the server will not look at (RFC 9113 section
// 6.8).
func (c *Conn) goAway(last uint32, reason string, seen int64) {
	for _, id := range c.ids() {
		if id > last {
			c.reset(id, "goaway", reason, seen)
		}
	}
}

// evict lets streams go whose end may have been in a hole.
func (c *Conn) evict() {
	for _, id := range c.ids() {
		if c.streams[id].holed {
			c.leave(id)
		}
	}
}

// leave lets an exchange go, saying what is missing of it.
func (c *Conn) leave(id uint32) {
	s := c.streams[id]
	delete(c.streams, id)
	c.ready = append(c.ready, s)
	ended := slices.ContainsFunc(s.Attrs, func(a protocol.Attr) bool { return a.Key == "reset" || a.Key == "goaway" })
	if s.noStatus {
		s.attr("status", unknown)
	}
	if !ended && !s.sent {
		s.attr("incomplete", "request")
	}
	if !ended && s.First != 0 && !s.answered {
		s.attr("incomplete", "response")
	}
}

// ids are the open streams in order.
func (c *Conn) ids() []uint32 {
	ids := make([]uint32, 0, len(c.streams))
	for id := range c.streams {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// flush emits the exchanges that are complete.
func (c *Conn) flush(emit protocol.Emit) {
	for i, s := range c.ready {
		c.ready[i] = nil
		emit(&s.Exchange)
	}
	c.ready = c.ready[:0]
}
