// Package http1 parses HTTP/1.0 and HTTP/1.1 (RFC 9112). It keeps no bytes: a
// line that is not yet whole is fed again, and bodies are skipped by length.
//
// HTTP/1 has no ids. A response answers the oldest request without one, so
// after a hole the Conn gives up what it cannot tell for certain (match.go).
package http1

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
}

// New returns HTTP/1. Its connections are of type *Conn.
func New(o Options) protocol.Protocol { return proto{o} }

type proto struct{ Options }

// Name is "http".
func (proto) Name() string { return "http" }

// Open returns a *Conn.
func (p proto) Open(joined bool) protocol.Conn {
	c := &Conn{options: p.Options, matcher: matcher{fog: joined}}
	if !joined {
		c.client.state, c.server.state = startLine, startLine
	}
	return c
}

// longLine is how many bytes of a request line without an end are convincing.
const longLine = 256

// Detect knows the usual methods only: a token of capital letters and a space
// begin many text protocols. A joined connection must show a whole start line.
func (proto) Detect(side protocol.Side, first []byte, joined bool) protocol.Verdict {
	if !joined {
		first = bytes.TrimLeft(first, "\r\n")
	}
	end := bytes.IndexByte(first, '\n')
	if side == protocol.Server {
		return detectStatus(first, end)
	}
	method, target, found := bytes.Cut(first, []byte{' '})
	if !found {
		return knownPrefix(method)
	}
	if intern(method) == "" {
		return protocol.No
	}
	if end < 0 {
		switch {
		case !clean(beforeVersion(target)):
			return protocol.No
		case len(first) >= longLine && !joined:
			return protocol.Yes
		}
		return protocol.NeedMore
	}
	if _, ok := parseRequestLine(first[:end]); ok {
		return protocol.Yes
	}
	return protocol.No
}

func detectStatus(first []byte, end int) protocol.Verdict {
	if end >= 0 {
		if _, ok := parseStatusLine(first[:end]); ok {
			return protocol.Yes
		}
		return protocol.No
	}
	const enough = len("HTTP/1.1 200 ")
	switch _, ok := parseStatusLine(first[:min(enough, len(first))]); {
	case len(first) >= enough && ok:
		return protocol.Yes
	case len(first) < enough && statusPrefix(first):
		return protocol.NeedMore
	}
	return protocol.No
}

// knownPrefix judges bytes without a space.
func knownPrefix(b []byte) protocol.Verdict {
	for _, m := range methods() {
		if bytes.HasPrefix([]byte(m), b) {
			return protocol.NeedMore
		}
	}
	return protocol.No
}

// beforeVersion is the target in the rest of an unfinished request line.
func beforeVersion(rest []byte) []byte {
	target, _, _ := bytes.Cut(rest, []byte{' '})
	return target
}

// methods are those of RFC 9110, 5789 and of WebDAV and its relatives.
func methods() []string {
	return []string{
		"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT",
		"ACL", "BIND", "UNBIND", "REBIND", "MERGE", "CHECKOUT", "CHECKIN", "MKACTIVITY",
		"MKWORKSPACE", "MKCALENDAR", "UNCHECKOUT", "UPDATE", "LABEL", "LINK", "UNLINK",
		"ORDERPATCH", "BASELINE-CONTROL", "VERSION-CONTROL", "PURGE", "QUERY",
	}
}

// intern is a known method as a constant, "" for others.
func intern(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "HEAD":
		return "HEAD"
	}
	for _, m := range methods() {
		if string(b) == m {
			return m
		}
	}
	return ""
}
