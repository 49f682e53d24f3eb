package aggregate

import (
	"bytes"
	"strings"
)

// NormalPath turns a request target in absolute form (RFC 9112 section 3.2.2),
// http://host/p, into /p. Other forms stay as they are: /p, * and host:443.
func NormalPath(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !isScheme(scheme) {
		return target
	}
	i := strings.IndexAny(rest, "/?#")
	switch {
	case i >= 0 && rest[i] == '/':
		return rest[i:]
	case i >= 0 && rest[i] == '?':
		return "/" + rest[i:]
	default:
		return "/"
	}
}

// isScheme follows RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// longest is the number of bytes of the longest segment that is looked at. No
// path is captured beyond it.
const longest = 1024

// Template replaces the segments of a path that look like identifiers:
//
//	/users/123/orders/8f14e45f-ceea-467f-a0e6-000000000000.json → /users/{id}/orders/{uuid}.json
//
// The names are {id} for digits, {uuid}, {hex}, {date}, {email} and {token}. The
// rules are narrow: what could be a word, a version or a slug stays, and so do
// the query and what does not begin with a slash. Percent-encoded segments are
// judged by what they mean; an encoded slash does not end a segment. Nothing is
// allocated when nothing is replaced, and a template is its own template.
func Template(path string) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	end := len(path)
	if i := strings.IndexByte(path, '?'); i >= 0 {
		end = i
	}
	var room [longest]byte
	var out []byte
	done := 0 // path[:done] is in out
	for start := 1; start < end; {
		stop := end
		if i := strings.IndexByte(path[start:end], '/'); i >= 0 {
			stop = start + i
		}
		if name, ext := judge(path[start:stop], &room); name != "" {
			if out == nil {
				out = make([]byte, 0, len(path)+len(name))
			}
			out = append(append(out, path[done:start]...), name...)
			done = stop - ext
		}
		start = stop + 1
	}
	if out == nil {
		return path
	}
	return string(append(out, path[done:]...))
}

// judge returns the name that takes the place of the segment, "" when it stays,
// and the length of the file extension that is kept behind the name.
func judge(segment string, room *[longest]byte) (name string, ext int) {
	if len(segment) > longest {
		return "", 0
	}
	text := unescape(room[:0], segment)
	if name = placeholder(text); name != "" {
		return name, 0
	}
	stem, dotted := cutExtension(text)
	// An encoded extension cannot be kept as it is, so there is none.
	if dotted == nil || segment[len(segment)-len(dotted)] != '.' {
		return "", 0
	}
	return placeholder(stem), len(dotted)
}

// unescape appends the segment with its percent-encoding undone; one that is
// not well-formed stays as it is.
func unescape(dst []byte, segment string) []byte {
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
				return append(dst[:0], segment...)
			}
			c = unhex(segment[i+1])<<4 | unhex(segment[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

// cutExtension splits report.json into report and .json. An extension is a
// letter and up to four letters or digits.
func cutExtension(s []byte) (stem, dotted []byte) {
	i := bytes.LastIndexByte(s, '.')
	if i <= 0 || len(s)-i < 2 || len(s)-i > 6 || !isLetter(s[i+1]) {
		return s, nil
	}
	for _, c := range s[i+1:] {
		if !isLetter(c) && !isDigit(c) {
			return s, nil
		}
	}
	return s[:i], s[i:]
}
