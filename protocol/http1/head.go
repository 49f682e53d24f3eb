package http1

import (
	"bytes"
	"math"
)

// head is what decides about a message's body (RFC 9112 section 6).
type head struct {
	// length is Content-Length where hasLength; badLength: it is no number, or
	// two that differ.
	length               uint64
	hasLength, badLength bool
	// coded: Transfer-Encoding is there; chunked: it ends in chunked.
	coded, chunked bool
	// h2c: Upgrade names h2c.
	h2c bool
}

// field takes one header line, folded lines included, and returns the value
// if it is a Host.
func (h *head) field(line []byte) (host []byte) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return nil
	}
	name = trim(name)
	switch len(name) {
	case len("host"):
		if is(name, "host") {
			return trim(value)
		}
	case len("upgrade"):
		if is(name, "upgrade") {
			h.h2c = h.h2c || is(trim(value), "h2c")
		}
	case len("content-length"):
		if is(name, "content-length") {
			h.contentLength(value)
		}
	case len("transfer-encoding"):
		if is(name, "transfer-encoding") {
			last := trim(value[bytes.LastIndexByte(value, ',')+1:])
			// "identity" was withdrawn by RFC 7230 and is still sent: no coding.
			h.coded, h.chunked = !is(last, "identity"), is(last, "chunked")
		}
	}
	return nil
}

// contentLength takes a number or a list of equal ones (RFC 9110 section 8.6).
func (h *head) contentLength(value []byte) {
	for more := true; more; {
		var one []byte
		one, value, more = bytes.Cut(value, []byte{','})
		n, ok := decimal(trim(one))
		if !ok || h.hasLength && n != h.length {
			h.badLength = true
		}
		h.length, h.hasLength = n, true
	}
}

func decimal(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= math.MaxInt64
}

// chunkLength reads the line before a chunk, extensions and all (RFC 9112
// section 7.1).
func chunkLength(line []byte) (n uint64, ok bool) {
	digits, _, _ := bytes.Cut(line, []byte{';'})
	digits = trim(digits)
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}

// trim takes white space away, which includes the line ends of folded lines.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// is compares with a lower-case word, in any case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
