package nat

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"weft/record"
)

// Netfilter's numbers, which golang.org/x/sys has not: linux/netfilter/
// nfnetlink.h, nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	subsysConntrack = 1
	msgGet          = 1
	msgDelete       = 2
	groupNew        = 1
	groupDestroy    = 3

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrStatus     = 3
	attrZone       = 18
	attrTupleIP    = 1
	attrTupleProto = 2
	attrTupleZone  = 3

	typeMask   = 0x3fff                  // NLA_TYPE_MASK
	headerSize = unix.SizeofNlMsghdr + 4 // nlmsghdr and nfgenmsg
)

// message is a message of ctnetlink about an entry with NAT.
type message struct {
	key   key
	entry entry
	kind  bpfNatKind
}

// errMalformed says that a message's lengths do not fit.
var errMalformed = errors.New("malformed netlink message")

// parseMessage reads the beginning of a message; false when it is not about a
// TCP or UDP entry.
func parseMessage(b []byte) (message, bool) {
	if len(b) < headerSize || b[5] != subsysConntrack {
		return message{}, false
	}
	m := message{kind: bpfNatKindNAT_MADE}
	if b[4] == msgDelete {
		m.kind = bpfNatKindNAT_GONE
	}
	return m, parseEntry(b[headerSize:], &m)
}

// messages calls take for each message about a TCP or UDP entry in b. It
// returns true behind the end of a dump, and the error that the kernel sent.
func messages(b []byte, take func(*message)) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, errMalformed
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		switch {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR:
			return true, kernelError(b[unix.SizeofNlMsghdr:size])
		default:
			if m, ok := parseMessage(b[:size]); ok {
				take(&m)
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

func kernelError(b []byte) error {
	if len(b) < 4 {
		return errMalformed
	}
	if n := int32(binary.NativeEndian.Uint32(b)); n != 0 {
		return unix.Errno(-n)
	}
	return nil
}

// attributes calls each for every attribute in b.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&typeMask, b[4:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}

// parseEntry reads an entry; false when it is not one of TCP or UDP.
func parseEntry(b []byte, m *message) bool {
	var reply tuple
	var proto, replyProto record.Transport
	var zone, origZone uint16
	attributes(b, func(kind uint16, v []byte) {
		switch {
		case kind == attrTupleOrig:
			proto, origZone = parseTuple(v, &m.key.tuple)
		case kind == attrTupleReply:
			replyProto, _ = parseTuple(v, &reply)
		case kind == attrZone && len(v) == 2:
			zone = binary.BigEndian.Uint16(v)
		}
	})
	if proto != record.TCP && proto != record.UDP || replyProto != proto {
		return false
	}
	m.key.proto = proto
	// The answer comes from where NAT sent the request, to where it seems to come from.
	m.entry.to = tuple{src: reply.dst, dst: reply.src, sport: reply.dport, dport: reply.sport}
	m.entry.zone = zone | origZone
	return true
}

// parseTuple returns protocol and zone of the tuple.
func parseTuple(b []byte, t *tuple) (proto record.Transport, zone uint16) {
	attributes(b, func(kind uint16, v []byte) {
		switch {
		case kind == attrTupleIP:
			attributes(v, t.address)
		case kind == attrTupleProto:
			attributes(v, func(kind uint16, v []byte) {
				switch {
				case kind == 1 && len(v) == 1:
					proto = record.Transport(v[0])
				case kind == 2 && len(v) == 2:
					t.sport = binary.BigEndian.Uint16(v)
				case kind == 3 && len(v) == 2:
					t.dport = binary.BigEndian.Uint16(v)
				}
			})
		case kind == attrTupleZone && len(v) == 2:
			zone = binary.BigEndian.Uint16(v)
		}
	})
	return proto, zone
}

// address takes CTA_IP_V4_SRC, _DST, CTA_IP_V6_SRC or _DST.
func (t *tuple) address(kind uint16, v []byte) {
	to := &t.src
	if kind == 2 || kind == 4 {
		to = &t.dst
	}
	switch {
	case kind <= 2 && len(v) == 4:
		*to = [16]byte{10: 0xff, 11: 0xff, 12: v[0], 13: v[1], 14: v[2], 15: v[3]}
	case kind <= 4 && len(v) == 16:
		copy(to[:], v)
	}
}
