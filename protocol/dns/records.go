package dns

import (
	"encoding/binary"
	"math"
	"net/netip"
)

const (
	maxRecords = 1024 // answers that are kept; 4 KiB of EDNS hold 256
	maxChain   = 16   // names of one CNAME chain; resolvers stop at 8 to 12
	// maxCompared labels of a message are compared; 256 addresses that spell
	// their owner's name out need 1000.
	maxCompared = 20_000
)

// rr is a resource record by the places of its parts in the message.
type rr struct {
	owner, data, size int
	ttl               uint32
	typ, class        uint16
}

// hop is a name that the chain of CNAMEs led to.
type hop struct {
	name int
	ttl  uint32
}

// sections reads what follows the first question. Counts need no bound of
// their own: every item takes bytes.
func (m *Message) sections(at int) error {
	for i := 1; i < m.Questions; i++ {
		end, err := skipName(m.msg, at)
		if err != nil {
			return err
		}
		at = end + 4
	}
	authorities := int(binary.BigEndian.Uint16(m.msg[8:]))
	additionals := int(binary.BigEndian.Uint16(m.msg[10:]))
	for i := range m.Answers + authorities + additionals {
		r, err := m.record(at)
		if err != nil {
			return err
		}
		at = r.data + r.size
		switch {
		case i < m.Answers && len(m.records) < maxRecords:
			m.records = append(m.records, r)
		case i >= m.Answers+authorities && r.typ == typeOPT && !m.EDNS:
			m.EDNS = true // RFC 6891 section 6.1.3
			m.Rcode |= int(r.ttl>>24) << 4
		}
	}
	return nil
}

func (m *Message) record(at int) (rr, error) {
	end, err := skipName(m.msg, at)
	if err != nil {
		return rr{}, err
	}
	if end+10 > len(m.msg) {
		return rr{}, ErrShort
	}
	b := m.msg[end : end+10]
	r := rr{
		owner: target(m.msg, at), data: end + 10, size: int(binary.BigEndian.Uint16(b[8:])),
		typ: binary.BigEndian.Uint16(b), class: binary.BigEndian.Uint16(b[2:]),
		ttl: binary.BigEndian.Uint32(b[4:]),
	}
	if r.data+r.size > len(m.msg) {
		return rr{}, ErrShort
	}
	return r, nil
}

// Owner returns the name and the type of answer i, in the form of Name and
// Type; ok is false when there is no such answer. Answers to a multicast query
// come without the question (RFC 6762 section 6), so their owners tell what
// they answer.
func (m *Message) Owner(i int) (name, typ string, ok bool) {
	if i >= len(m.records) {
		return "", "", false
	}
	wire, _, err := appendName(m.wire[:0], m.msg, m.records[i].owner)
	m.wire = wire
	if err != nil {
		return "", "", true
	}
	return m.text(wire), typeName(m.records[i].typ), true
}

// Follow sets Addrs to those that belong to the owner of answer i, as if its
// name had been asked.
func (m *Message) Follow(i int) {
	m.Addrs = m.Addrs[:0]
	m.follow(m.records[i].owner)
}

// follow collects the addresses of the name at an offset and of all that
// CNAMEs lead to from there, in whatever order the records stand.
func (m *Message) follow(name int) {
	m.chain = append(m.chain[:0], hop{name, math.MaxUint32})
	for i := 0; i < len(m.chain); i++ {
		for _, r := range m.records {
			if r.typ == typeCNAME && r.internet() && len(m.chain) < maxChain && m.sameName(r.owner, m.chain[i].name) {
				m.chain = append(m.chain, hop{target(m.msg, r.data), min(r.seconds(), m.chain[i].ttl)})
			}
		}
	}
	for _, r := range m.records {
		if ip, ok := m.address(r); ok {
			if ttl, ok := m.reached(r); ok {
				m.Addrs = append(m.Addrs, Addr{ip, min(ttl, r.seconds())})
			}
		}
	}
	if m.compared >= maxCompared {
		m.Partial, m.Addrs = true, m.Addrs[:0]
	}
}

// reached tells whether the chain led to the record's owner.
func (m *Message) reached(r rr) (ttl uint32, ok bool) {
	for _, h := range m.chain {
		if m.sameName(r.owner, h.name) {
			return h.ttl, true
		}
	}
	return 0, false
}

// address is a record's; one mapped into IPv6 is given as the IPv4 address that
// sockets will show.
func (m *Message) address(r rr) (netip.Addr, bool) {
	data := m.msg[r.data : r.data+r.size]
	if !r.internet() || !(r.typ == typeA && r.size == 4 || r.typ == typeAAAA && r.size == 16) {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(data)
	return ip.Unmap(), ok
}

// internet tells whether the class is IN; the top bit is multicast DNS's cache
// flush (RFC 6762 section 10.2).
func (r rr) internet() bool { return r.class&0x7fff == 1 }

// seconds is the TTL; with the top bit set it means 0 (RFC 2181 section 8).
func (r rr) seconds() uint32 {
	if r.ttl > math.MaxInt32 {
		return 0
	}
	return r.ttl
}
