// Package http2 parses HTTP/2 (RFC 9113) with HPACK (RFC 7541), and gRPC in it.
// Payload of DATA is skipped by length; of the rest at most one header block a
// side is buffered. What HPACK state that was missed would have told is
// "unknown", never a guess.
package http2

import (
	"bytes"

	"weft/protocol"
)

// Options are what a user may choose.
type Options struct {
	// MaxPath is how many bytes of a path are kept; 0 keeps all of it.
	MaxPath int
	// KeepQuery keeps the path's '?' and what follows.
	KeepQuery bool
	// MaxStreams is how many open streams of a connection are followed; 0
	// stands for 1024.
	MaxStreams int
}

const defaultStreams = 1024

// New returns HTTP/2. Its connections are of type *Conn.
func New(o Options) protocol.Protocol { return &proto{o, staticTable()} }

type proto struct {
	Options
	static []entry
}

// Name is "http2".
func (*proto) Name() string { return "http2" }

// Detect wants the client's preface or the server's first SETTINGS; of a
// joined connection, frames.
func (*proto) Detect(side protocol.Side, first []byte, joined bool) protocol.Verdict {
	if side == protocol.Client {
		n := min(len(first), len(preface))
		if string(first[:n]) == preface[:n] {
			if n == len(preface) {
				return protocol.Yes
			}
			return protocol.NeedMore
		}
	}
	switch {
	case joined:
		return looksLike(side, first, defaultFrame)
	case side == protocol.Client:
		return protocol.No
	case len(first) < headerLen:
		// A SETTINGS frame of less than 64 KiB on stream 0 begins so.
		settings := []byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0}[:len(first)]
		for i := range first {
			if i != 1 && i != 2 && first[i] != settings[i] {
				return protocol.No
			}
		}
		return protocol.NeedMore
	}
	f := parseFrame(first)
	if f.kind == frameSettings && f.flags == 0 && !f.reserved && f.length <= defaultFrame && f.valid(side) {
		return protocol.Yes
	}
	return protocol.No
}

// Open returns a *Conn.
func (p *proto) Open(joined bool) protocol.Conn {
	return open(p.Options, p.static, joined)
}

// Upgraded is that of New's protocol.
func Upgraded(o Options, first *protocol.Exchange) protocol.Conn {
	return (&proto{o, staticTable()}).Upgraded(first)
}

// Upgraded returns a *Conn that goes on where an HTTP/1.1 one ended with
// UpgradedH2C: its stream 1 is that one's last request (RFC 7540 section 3.2).
// The exchange that it emits is another than first, which had status 101.
func (p *proto) Upgraded(first *protocol.Exchange) protocol.Conn {
	c := open(p.Options, p.static, false)
	// HTTP2-Settings in that request, which we do not have, may allow more.
	c.server.table.allowed = maxTable
	s := &stream{sent: true}
	s.Protocol, s.Version, s.StreamID = "http2", "2", 1
	s.ReqOffset, s.ReqBytes, s.Start, s.End = first.ReqOffset, first.ReqBytes, first.Start, first.Start
	s.Method, s.Path, s.Truncated, s.Host = first.Method, first.Path, first.Truncated, first.Host
	c.streams[1], c.newest = s, 1
	return c
}

func open(o Options, static []entry, joined bool) *Conn {
	if o.MaxStreams <= 0 {
		o.MaxStreams = defaultStreams
	}
	c := &Conn{options: o, streams: map[uint32]*stream{}, joined: joined}
	c.client = half{side: protocol.Client, state: inPreface, longest: defaultFrame, table: newDecoder(static, !joined)}
	c.server = half{side: protocol.Server, state: inFrames, longest: defaultFrame, table: newDecoder(static, !joined)}
	if joined {
		c.client.state, c.server.state = resync, resync
	}
	return c
}

// prefaceSoFar is false when bytes cannot be a preface.
func prefaceSoFar(b []byte) bool {
	return bytes.HasPrefix([]byte(preface), b[:min(len(b), len(preface))])
}
