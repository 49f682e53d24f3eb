// Package dns decodes DNS messages (RFC 1035, EDNS RFC 6891) and follows DNS
// over TCP (RFC 7766). Pure functions on bytes.
//
// Place in the path of a record: l7 → Conn → protocol.Exchange → l7/dnsflow;
// datagrams go to l7/dnsflow without a Conn.
package dns

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// The ways in which bytes are no message.
var (
	// ErrShort: the bytes end before the end of the question.
	ErrShort = errors.New("dns: message is short")
	// ErrBad: the question's name is none.
	ErrBad = errors.New("dns: message is malformed")
)

const (
	headerLen = 12
	maxNames  = 1024 // texts of names that a Message remembers

	flagResponse  = 1 << 15
	flagTruncated = 1 << 9
	flagZero      = 1 << 6 // RFC 1035 section 4.1.1: Z, still reserved
)

// Message is a decoded message. Its memory is reused by the next Decode.
type Message struct {
	ID       uint16
	Response bool
	Opcode   uint8
	// Rcode has EDNS's upper bits when the OPT record was seen.
	Rcode     int
	Truncated bool
	// Name is the first question's: in lower case, without the final dot, with
	// RFC 1035's escapes; "." is the root, "" when there is no question.
	Name string
	// Type is the question's: "A", "HTTPS", or "TYPE1234" when it has no name.
	Type  string
	Class uint16
	// Questions and Answers are as the header says.
	Questions, Answers int
	// Addrs are those of A and AAAA answers that belong to Name, directly or
	// through CNAMEs.
	Addrs []Addr
	EDNS  bool
	// Partial: the records could not all be read, because the capture cut them,
	// or because they are malformed or hostile; then Addrs is empty.
	Partial bool

	msg      []byte
	records  []rr
	chain    []hop
	compared int // labels
	wire     []byte
	names    map[string]string // by uncompressed name
	forget   bool              // no names are remembered
}

// Addr is an address that was answered.
type Addr struct {
	IP netip.Addr
	// TTL in seconds: the smallest of the record's and of the CNAMEs' before it.
	TTL uint32
}

// Decode reads a message. The error is ErrShort or ErrBad when there is no
// whole header and first question; it is nil when only later records are cut or
// malformed. The ID, Response, Opcode and Rcode are set if 12 bytes are there.
// Owner and Follow may be called as long as b is valid.
func (m *Message) Decode(b []byte) error {
	at, err := m.questionOf(b)
	if err != nil {
		return err
	}
	if err := m.sections(at); err != nil {
		m.Partial = true
		if errors.Is(err, ErrBad) {
			m.records = m.records[:0]
		}
	}
	if m.Questions > 0 {
		m.follow(headerLen)
	}
	return nil
}

// questionOf reads header and first question and returns the offset behind.
func (m *Message) questionOf(b []byte) (int, error) {
	*m = Message{
		Addrs: m.Addrs[:0], records: m.records[:0], chain: m.chain, wire: m.wire,
		names: m.names, forget: m.forget, msg: b,
	}
	if len(b) < headerLen {
		return 0, ErrShort
	}
	flags := binary.BigEndian.Uint16(b[2:])
	m.ID = binary.BigEndian.Uint16(b)
	m.Response = flags&flagResponse != 0
	m.Truncated = flags&flagTruncated != 0
	m.Opcode = uint8(flags >> 11 & 0xf)
	m.Rcode = int(flags & 0xf)
	m.Questions = int(binary.BigEndian.Uint16(b[4:]))
	m.Answers = int(binary.BigEndian.Uint16(b[6:]))
	return m.question()
}

// question reads the first question and returns the offset behind it.
func (m *Message) question() (int, error) {
	if m.Questions == 0 {
		return headerLen, nil
	}
	wire, at, err := appendName(m.wire[:0], m.msg, headerLen)
	m.wire = wire
	if err != nil {
		return 0, err
	}
	if at+4 > len(m.msg) {
		return 0, ErrShort
	}
	m.Name = m.text(wire)
	m.Type = typeName(binary.BigEndian.Uint16(m.msg[at:]))
	m.Class = binary.BigEndian.Uint16(m.msg[at+2:])
	return at + 4, nil
}

// text is the name as text. Names that come again cost no memory; when too
// many were remembered, all are forgotten.
func (m *Message) text(wire []byte) string {
	if m.forget {
		return present(wire)
	}
	if text, ok := m.names[string(wire)]; ok {
		return text
	}
	if m.names == nil {
		m.names = map[string]string{}
	}
	if len(m.names) >= maxNames {
		clear(m.names)
	}
	text := present(wire)
	m.names[string(wire)] = text
	return text
}
