package tlshello

import "encoding/binary"

// reader reads a message front to back. After a read behind the end everything
// is zero and failed is set.
type reader struct {
	b      []byte
	failed bool
	// cut: the message goes on behind what there is.
	cut bool
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n > len(r.b) {
		r.failed = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) skip(n int) { r.bytes(n) }

func (r *reader) u8() int {
	if b := r.bytes(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *reader) u16() int {
	if b := r.bytes(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

// message finds the handshake message of a type at the beginning of a stream.
// A message may be spread over records (RFC 8446 section 5.1).
func message(b []byte, kind byte) *reader {
	first, rest := record(b)
	if len(first) < 4 || first[0] != kind {
		return &reader{failed: true}
	}
	size := int(first[1])<<16 | int(first[2])<<8 | int(first[3])
	body := first[4:]
	if len(body) < size {
		body = append([]byte(nil), body...)
	}
	for len(body) < min(size, maxHello) && len(rest) > 0 {
		var more []byte
		if more, rest = record(rest); len(more) == 0 {
			break
		}
		body = append(body, more...)
	}
	n := min(size, len(body), maxHello)
	return &reader{b: body[:n], cut: n < size}
}

// record returns the body of the handshake record at the beginning of b, as
// much of it as there is, and what stands behind it.
func record(b []byte) (body, rest []byte) {
	if len(b) < 5 || b[0] != recordHandshake || b[1] != 3 {
		return nil, nil
	}
	n := min(int(binary.BigEndian.Uint16(b[3:])), len(b)-5)
	return b[5 : 5+n], b[5+n:]
}

// extensions calls each for every extension that is there whole, and tells
// whether all are.
func (r *reader) extensions(each func(kind int, e *reader)) bool {
	size := r.u16()
	list := &reader{b: r.b[:min(size, len(r.b))]}
	whole := !r.failed && size <= len(r.b)
	for len(list.b) > 0 {
		kind := list.u16()
		body := list.bytes(list.u16())
		if list.failed {
			return false
		}
		each(kind, &reader{b: body})
	}
	return whole
}

// serverName reads a list of names (RFC 6066 section 3) and returns the host's.
func (r *reader) serverName() string {
	list := &reader{b: r.bytes(r.u16())}
	for len(list.b) > 0 && !list.failed {
		kind := list.u8()
		name := list.bytes(list.u16())
		if kind == 0 && len(name) <= maxName && printable(name) {
			return string(name)
		}
	}
	return ""
}

// protocols reads a list of ALPN names (RFC 7301 section 3.1).
func (r *reader) protocols() []string {
	var all []string
	list := &reader{b: r.bytes(r.u16())}
	for len(list.b) > 0 && len(all) < maxProtocols {
		name := list.bytes(list.u8())
		if list.failed {
			break
		}
		if len(name) > 0 && printable(name) {
			all = append(all, string(name))
		}
	}
	return all
}

// versions reads what a client offers (RFC 8446 section 4.2.1), without the
// values that only test whether servers cope (GREASE, RFC 8701).
func (r *reader) versions() []uint16 {
	var all []uint16
	list := &reader{b: r.bytes(r.u8())}
	for len(list.b) >= 2 && len(all) < maxVersions {
		v := uint16(list.u16())
		if grease := v&0x0f0f == 0x0a0a && v>>8 == v&0xff; !grease {
			all = append(all, v)
		}
	}
	return all
}

// printable tells whether it is text without blanks and control characters:
// nothing else is a name. GREASE protocols are not.
func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
