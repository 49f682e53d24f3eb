package dns

import "strconv"

const (
	maxName  = 255 // octets of a name on the wire, RFC 1035 section 2.3.4
	maxJumps = 126 // more compression pointers than a name can have labels
)

// cursor walks the labels of a name, through its compression pointers
// (RFC 1035 section 4.1.4). A pointer leads backwards only, and a name ends
// after 255 octets, so a walk ends whatever the bytes are.
type cursor struct {
	msg   []byte
	at    int
	size  int // octets of the name so far
	jumps int
	end   int // offset behind the name where it was written; 0 before it is known
}

// next returns the next label; the empty one is the root and ends the name.
func (c *cursor) next() ([]byte, error) {
	for c.at < len(c.msg) {
		n := int(c.msg[c.at])
		switch n & 0xc0 {
		case 0:
			from := c.at + 1
			if c.size += n + 1; c.size > maxName {
				return nil, ErrBad
			}
			if from+n > len(c.msg) {
				return nil, ErrShort
			}
			c.at = from + n
			if n == 0 && c.end == 0 {
				c.end = c.at
			}
			return c.msg[from:c.at], nil
		case 0xc0:
			if err := c.jump(n & 0x3f); err != nil {
				return nil, err
			}
		default: // RFC 6891 section 5: extended labels are abandoned
			return nil, ErrBad
		}
	}
	return nil, ErrShort
}

func (c *cursor) jump(high int) error {
	if c.at+2 > len(c.msg) {
		return ErrShort
	}
	if c.end == 0 {
		c.end = c.at + 2
	}
	to := high<<8 | int(c.msg[c.at+1])
	if c.jumps++; to < headerLen || to >= c.at || c.jumps > maxJumps {
		return ErrBad
	}
	c.at = to
	return nil
}

// appendName appends the name at off in lower case, uncompressed, and returns
// the offset behind it.
func appendName(dst, msg []byte, off int) ([]byte, int, error) {
	for c := (cursor{msg: msg, at: off}); ; {
		label, err := c.next()
		if err != nil {
			return dst, 0, err
		}
		dst = append(dst, byte(len(label)))
		for _, b := range label {
			dst = append(dst, lower(b))
		}
		if len(label) == 0 {
			return dst, c.end, nil
		}
	}
}

// skipName returns the offset behind the name at off. It does not look where a
// pointer leads.
func skipName(msg []byte, off int) (int, error) {
	for off < len(msg) {
		n := int(msg[off])
		switch {
		case n == 0:
			return off + 1, nil
		case n&0xc0 == 0xc0 && off+2 <= len(msg):
			return off + 2, nil
		case n&0xc0 == 0xc0:
			return 0, ErrShort
		case n&0xc0 != 0:
			return 0, ErrBad
		}
		off += 1 + n
	}
	return 0, ErrShort
}

// target is where the name at off is written when it is only a pointer, as most
// owners' are: names at the same place need no comparison.
func target(msg []byte, off int) int {
	if off+2 <= len(msg) && msg[off]&0xc0 == 0xc0 {
		if to := int(msg[off]&0x3f)<<8 | int(msg[off+1]); to >= headerLen && to < off {
			return to
		}
	}
	return off
}

// sameName tells whether the names at two offsets are equal; ASCII letters of
// either case are (RFC 4343). When a message was made to cost too much, no name
// is equal to another any more.
func (m *Message) sameName(a, b int) bool {
	if a == b {
		return true
	}
	x, y := cursor{msg: m.msg, at: a}, cursor{msg: m.msg, at: b}
	for ; m.compared < maxCompared; m.compared++ {
		l, errL := x.next()
		r, errR := y.next()
		if errL != nil || errR != nil || !sameLabel(l, r) {
			return false
		}
		if len(l) == 0 {
			return true
		}
	}
	return false
}

func sameLabel(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	if string(a) == string(b) {
		return true
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// present writes an uncompressed name as text: labels between dots, none at
// the end, "." for the root. What is not a visible ASCII character is written
// \DDD, a dot or backslash inside a label \. and \\ (RFC 1035 section 5.1).
func present(wire []byte) string {
	text := make([]byte, 0, len(wire)+8)
	for at := 0; at < len(wire) && wire[at] != 0; {
		end := at + 1 + int(wire[at])
		if at > 0 {
			text = append(text, '.')
		}
		for _, b := range wire[at+1 : end] {
			text = appendEscaped(text, b)
		}
		at = end
	}
	if len(text) == 0 {
		return "."
	}
	return string(text)
}

func appendEscaped(text []byte, b byte) []byte {
	switch {
	case b == '.' || b == '\\':
		return append(text, '\\', b)
	case b > ' ' && b < 0x7f:
		return append(text, b)
	}
	text = append(text, '\\')
	if b < 100 {
		text = append(text, '0')
	}
	if b < 10 {
		text = append(text, '0')
	}
	return strconv.AppendUint(text, uint64(b), 10)
}
