package dns

import (
	"encoding/binary"
	"errors"

	"weft/protocol"
)

const (
	prefixLen = 2 // RFC 1035 section 4.2.2: the length of the message
	minFrame  = prefixLen + headerLen
)

// New returns DNS over TCP (RFC 7766).
func New() protocol.Protocol { return dns{} }

type dns struct{}

func (dns) Name() string { return "dns" }

// Detect wants a whole first header and question. A message stands on its own,
// so bytes from the middle of a connection are judged like the first.
func (dns) Detect(side protocol.Side, first []byte, _ bool) protocol.Verdict {
	return judge(side, first)
}

func (dns) Open(joined bool) protocol.Conn { return newConn(joined) }

// judge tells whether bytes begin with the length and header of a message of
// this side that has one question.
func judge(side protocol.Side, b []byte) protocol.Verdict {
	if !plausible(side, b) {
		return protocol.No
	}
	if len(b) < minFrame {
		return protocol.NeedMore
	}
	m := Message{forget: true}
	size := int(binary.BigEndian.Uint16(b))
	body := b[prefixLen:min(len(b), prefixLen+size)]
	at, err := m.questionOf(body)
	switch {
	case errors.Is(err, ErrShort) && len(body) < size:
		return protocol.NeedMore
	case err != nil || !askable(m.Class) || !fits(body, size-at):
		return protocol.No
	}
	return protocol.Yes
}

// plausible judges as much of length and header as is there: the earlier it
// says no, the less is kept of what is no DNS.
func plausible(side protocol.Side, b []byte) bool {
	if len(b) >= prefixLen && binary.BigEndian.Uint16(b) < headerLen {
		return false
	}
	if len(b) >= 6 && !plausibleFlags(side, binary.BigEndian.Uint16(b[4:])) {
		return false
	}
	// A query of several questions has no meaning (RFC 9619).
	return len(b) < 8 || binary.BigEndian.Uint16(b[6:]) == 1
}

func plausibleFlags(side protocol.Side, flags uint16) bool {
	response := side == protocol.Server
	return response == (flags&flagResponse != 0) &&
		flags>>11&0xf <= 6 && flags&flagZero == 0 && (response || flags&0xf == 0)
}

// askable are the classes of questions: IN, CHAOS, HESIOD, NONE, ANY.
func askable(class uint16) bool {
	return class == 1 || class == 3 || class == 4 || class == 254 || class == 255
}

// fits tells whether the records that the header promises have room in what
// the message has left behind the question.
func fits(header []byte, left int) bool {
	const minRecord = 11 // root, type, class, TTL, length of no data
	n := 0
	for at := 6; at < headerLen; at += 2 {
		n += int(binary.BigEndian.Uint16(header[at:]))
	}
	return n*minRecord <= left && (n > 0 || left == 0)
}
