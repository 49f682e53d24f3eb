package http1

import (
	"bytes"

	"weft/protocol"
)

// maxLine bounds a line of a head, and with it what is buffered for a side.
const maxLine = 64 << 10

// requestLine is a parsed request line; it refers to the fed bytes.
type requestLine struct {
	method, target []byte
	version        string
}

// parseRequestLine takes a line without its LF (RFC 9112 section 3). It is as
// strict as the grammar: one space, no control bytes in the target.
func parseRequestLine(line []byte) (r requestLine, ok bool) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	method, rest, _ := bytes.Cut(line, []byte{' '})
	i := bytes.LastIndexByte(rest, ' ')
	if i <= 0 || !isMethod(method) || !clean(rest[:i]) {
		return r, false
	}
	r = requestLine{method: method, target: rest[:i], version: parseVersion(rest[i+1:])}
	return r, r.version != ""
}

// isMethod: registered methods are 3 to 16 capital letters, some with a hyphen.
func isMethod(b []byte) bool {
	return len(b) >= 3 && len(b) <= 16 && capitals(b)
}

func capitals(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// clean: no space and no control byte.
func clean(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// parseVersion is "1.0", "1.1" and so on, or "" for what is not HTTP/1.
func parseVersion(b []byte) string {
	if len(b) != len("HTTP/1.1") || string(b[:7]) != "HTTP/1." || b[7] < '0' || b[7] > '9' {
		return ""
	}
	if b[7] == '0' {
		return "1.0"
	}
	// A higher minor version is to be read as 1.1 (RFC 9110 section 2.5).
	return "1.1"
}

// statusLine is a parsed status line.
type statusLine struct {
	version string
	code    int
}

// parseStatusLine takes a line without its LF (RFC 9112 section 4). The reason
// and, as some servers have it, the space before may be missing.
func parseStatusLine(line []byte) (s statusLine, ok bool) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return s, false
	}
	s.version = parseVersion(line[:8])
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return s, false
		}
		s.code = s.code*10 + int(c-'0')
	}
	return s, s.version != "" && s.code >= 100 && s.code <= 999
}

// plausible: an unfinished start line could still become one.
func plausible(side protocol.Side, b []byte) bool {
	if side == protocol.Server {
		return statusPrefix(b)
	}
	method, target, found := bytes.Cut(b, []byte{' '})
	if !found {
		return len(method) <= 16 && capitals(method)
	}
	return isMethod(method) && clean(beforeVersion(target))
}

func statusPrefix(b []byte) bool {
	const begin = "HTTP/1."
	n := min(len(b), len(begin))
	return string(b[:n]) == begin[:n]
}

// setTarget fills path and host from a request target (RFC 9112 section 3.2).
func (c *Conn) setTarget(r *request, target []byte) {
	if r.Method == "CONNECT" {
		r.Path, r.Truncated = c.cut(target)
		return
	}
	if authority, rest, ok := absolute(target); ok {
		// Userinfo can be a password.
		r.Host = c.sameHost(authority[bytes.LastIndexByte(authority, '@')+1:])
		r.absolute = true
		target = rest
		if len(target) == 0 || target[0] == '?' {
			target = append([]byte{'/'}, target...)
		}
	}
	if !c.options.KeepQuery {
		target, _, _ = bytes.Cut(target, []byte{'?'})
	}
	r.Path, r.Truncated = c.cut(target)
}

// absolute splits scheme://authority/path?query.
func absolute(target []byte) (authority, rest []byte, ok bool) {
	if target[0] == '/' {
		return nil, nil, false
	}
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || bytes.ContainsAny(scheme, "/?") {
		return nil, nil, false
	}
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:], true
	}
	return rest, nil, true
}

// cut keeps what the options allow. The last path of a connection is often its
// next one and then needs no memory.
func (c *Conn) cut(path []byte) (kept string, truncated bool) {
	if limit := c.options.MaxPath; limit > 0 && len(path) > limit {
		path, truncated = path[:limit], true
	}
	if c.lastPath != string(path) {
		c.lastPath = string(path)
	}
	return c.lastPath, truncated
}

// maxHost is longer than any name with a port.
const maxHost = 512

func (c *Conn) sameHost(host []byte) string {
	host = host[:min(len(host), maxHost)]
	if c.lastHost != string(host) {
		c.lastHost = string(host)
	}
	return c.lastHost
}
