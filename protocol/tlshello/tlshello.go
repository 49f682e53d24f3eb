// Package tlshello reads what a TLS connection says of itself before it is
// encrypted: the ClientHello and the ServerHello (RFC 8446 section 4.1, RFC
// 5246 section 7.4.1). Pure functions on bytes; nothing is kept of them.
//
// Place in the path of a record: the first bytes of each side of a connection
// on the wire → server name, application protocol and version of its records.
package tlshello

// Bounds of what is taken over from a message: an honest one is far below.
const (
	maxName      = 255 // RFC 6066 section 3: a DNS name
	maxProtocols = 16
	maxVersions  = 16
	// maxHello is how much of a handshake message is put together from records.
	maxHello = 16 << 10
)

// Types of records and handshake messages (RFC 8446 appendix B).
const (
	recordHandshake = 22
	typeClientHello = 1
	typeServerHello = 2
)

// Extensions (RFC 8446 section 4.2).
const (
	extServerName = 0
	extALPN       = 16
	extVersions   = 43
)

// ClientHello is what a client offers.
type ClientHello struct {
	// ServerName is the name it asks for (SNI), "" when it names none.
	ServerName string
	// ALPN are the application protocols it offers, e.g. "h2", best first.
	ALPN []string
	// Versions are the versions of TLS it offers, e.g. 0x0304 for 1.3.
	Versions []uint16
}

// ServerHello is what a server chose.
type ServerHello struct {
	// Version in use, e.g. 0x0303 for 1.2.
	Version uint16
	// ALPN is the application protocol; "" when none is named, and always in
	// TLS 1.3, which encrypts it.
	ALPN string
	// Cipher is the cipher suite.
	Cipher uint16
	// Retry: it is a HelloRetryRequest; another hello of each side follows.
	Retry bool
}

// ParseClientHello reads the first bytes of a client's stream. ok is false when
// they are no ClientHello, or too few. Of one that is cut in its extensions it
// gives what stands before the cut.
func ParseClientHello(b []byte) (h ClientHello, ok bool) {
	m := message(b, typeClientHello)
	legacy := m.u16()
	m.skip(32)      // random
	m.skip(m.u8())  // session id
	m.skip(m.u16()) // cipher suites
	m.skip(m.u8())  // compression methods
	if m.failed || legacy>>8 != 3 {
		return ClientHello{}, false
	}
	h.Versions = []uint16{uint16(legacy)}
	m.extensions(func(kind int, e *reader) {
		switch kind {
		case extServerName:
			h.ServerName = e.serverName()
		case extALPN:
			h.ALPN = e.protocols()
		case extVersions:
			if v := e.versions(); len(v) > 0 {
				h.Versions = v
			}
		}
	})
	return h, true
}

// retryRandom begins the random of a HelloRetryRequest (RFC 8446 section 4.1.3).
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"

// ParseServerHello reads the first bytes of a server's stream. ok is false when
// they are no ServerHello, or too few. One that is cut in its extensions says
// nothing for certain: the version stands there.
func ParseServerHello(b []byte) (h ServerHello, ok bool) {
	m := message(b, typeServerHello)
	legacy := m.u16()
	random := m.bytes(32)
	m.skip(m.u8()) // session id
	h.Cipher = uint16(m.u16())
	m.u8() // compression method
	if m.failed || legacy>>8 != 3 {
		return ServerHello{}, false
	}
	h.Version = uint16(legacy)
	h.Retry = string(random[:len(retryRandom)]) == retryRandom
	if len(m.b) == 0 && !m.cut { // TLS 1.2 may have none
		return h, true
	}
	whole := m.extensions(func(kind int, e *reader) {
		switch kind {
		case extVersions:
			if v := e.u16(); !e.failed {
				h.Version = uint16(v)
			}
		case extALPN:
			if p := e.protocols(); len(p) == 1 {
				h.ALPN = p[0]
			}
		}
	})
	if !whole {
		return ServerHello{}, false
	}
	return h, true
}
