package tls

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"
)

// Kind is what a file brings of TLS.
type Kind string

// The kinds. None is a file without TLS.
const (
	None      Kind = ""
	OpenSSL   Kind = "openssl"
	BoringSSL Kind = "boringssl"
	GnuTLS    Kind = "gnutls"
	Go        Kind = "go"
	NSS       Kind = "nss"
	Java      Kind = "java"
	Rustls    Kind = "rustls"
)

// plan is what was found in a file, and where its probes go.
type plan struct {
	kind   Kind
	points []point
	// bio is where the file's BIO_write begins, 0 for none: for processes that
	// have OpenSSL work on memory.
	bio uint64
	// why the plaintext cannot be had, "" when it can.
	why string
}

func (p *plan) fail(kind Kind, format string, args ...any) *plan {
	p.kind, p.points, p.why = kind, nil, fmt.Sprintf(format, args...)
	return p
}

// functions of a kind: name → program at its entry. Those of withReturn get
// the return program too.
type functions struct {
	kind       Kind
	need       []string
	withReturn map[string]string
	entryOnly  map[string]string
	atReturn   string
}

func openSSL() functions {
	return functions{
		kind: OpenSSL, need: []string{"SSL_read", "SSL_write"}, atReturn: "c_return",
		withReturn: map[string]string{
			"SSL_read": "c_read", "SSL_write": "c_write", "SSL_read_ex": "c_read_ex", "SSL_write_ex": "c_write_ex",
			"SSL_sendfile": "c_sendfile",
		},
		entryOnly: map[string]string{
			"SSL_do_handshake": "c_handshake", "SSL_connect": "c_handshake", "SSL_accept": "c_handshake",
			"SSL_free": "c_free",
		},
	}
}

// gnuTLS: record_send is often only a jump to record_send2.
func gnuTLS() functions {
	return functions{
		kind: GnuTLS, need: []string{"gnutls_record_recv", "gnutls_record_send"}, atReturn: "c_return",
		withReturn: map[string]string{
			"gnutls_record_recv": "c_read", "gnutls_record_recv_seq": "c_read", "gnutls_record_send": "c_write",
			"gnutls_record_send2": "c_write", "gnutls_record_send_range": "c_write",
			"gnutls_record_send_file": "c_sendfile",
		},
		entryOnly: map[string]string{"gnutls_handshake": "c_handshake", "gnutls_deinit": "c_free"},
	}
}

func goTLS() functions {
	const conn = "crypto/tls.(*Conn)."
	return functions{
		kind: Go, need: []string{conn + "Read", conn + "Write"}, atReturn: "go_return",
		withReturn: map[string]string{
			conn + "Read": "go_read", conn + "Write": "go_write",
			conn + "clientHandshake": "go_handshake", conn + "serverHandshake": "go_handshake",
		},
		entryOnly: map[string]string{conn + "Close": "go_close"},
	}
}

func (f functions) names() []string {
	var all []string
	for n := range f.withReturn {
		all = append(all, n)
	}
	for n := range f.entryOnly {
		all = append(all, n)
	}
	return all
}

// has tells whether all that is needed was found.
func (f functions) has(found map[string]function) bool {
	for _, n := range f.need {
		if _, ok := found[n]; !ok {
			return false
		}
	}
	return true
}

// places collects the spots of programs, as offsets in the file. Functions may
// share their returns.
type places struct {
	m     *image
	spots map[string][]spot
}

func (p places) add(program string, spots ...spot) error {
	for _, s := range spots {
		addr, ok := p.m.offset(s.addr)
		cheap, alsoOK := p.m.offset(s.cheap)
		if !ok || !alsoOK {
			return fmt.Errorf("address %#x is not in the file", s.addr)
		}
		if s := (spot{addr, cheap, s.depth}); !slices.Contains(p.spots[program], s) {
			p.spots[program] = append(p.spots[program], s)
		}
	}
	return nil
}

// place works out where the probes go. A function that only jumps to another
// one is left to that one's probes.
func (m *image) place(f functions, found map[string]function) ([]point, error) {
	p := places{m: m, spots: map[string][]spot{}}
	for name, fn := range found {
		program, ok := f.withReturn[name]
		if !ok {
			if err := p.add(f.entryOnly[name], plainSpot(fn.addr)); err != nil {
				return nil, err
			}
			continue
		}
		entry, rets, err := m.returns(fn)
		if errors.Is(err, errNoReturn) {
			continue
		}
		if err == nil {
			err = errors.Join(p.add(f.atReturn, rets...), p.add(program, entry))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// Returns first: a call that has begun must be seen to end.
	points := []point{{f.atReturn, p.spots[f.atReturn]}}
	for program, spots := range p.spots {
		if program != f.atReturn {
			points = append(points, point{program, spots})
		}
	}
	return points, nil
}

const (
	boringMark = "SSL_CTX_set_custom_verify" // no other has it
	libuvMark  = "uv_run"
)

// inspect finds out what a file has of TLS; exe: it is a program, not a library.
func inspect(path string, exe bool) *plan {
	p := &plan{}
	m, err := openImage(path)
	if err != nil {
		return p // no ELF file, or not one for this machine
	}
	defer m.close()
	if v := m.goVersion(); v != "" {
		return p.fromGo(m, v)
	}
	if p.fromC(m, elf.SHT_DYNSYM) || exe && p.fromC(m, elf.SHT_SYMTAB) {
		return p
	}
	if exe {
		p.withoutSymbols(m)
	}
	return p
}

func (p *plan) fromGo(m *image, version string) *plan {
	f := goTLS()
	found, err := m.goFunctions(f.names())
	switch {
	case err != nil:
		return p.fail(Go, "%s: %v", version, err)
	case !f.has(found):
		return p // no crypto/tls in it
	case goMinor(version) < 17:
		return p.fail(Go, "%s passes arguments on the stack: 1.17 and later are read", version)
	}
	points, err := m.place(f, found)
	if err != nil {
		return p.fail(Go, "%s: %v", version, err)
	}
	p.kind, p.points = Go, points
	return p
}

// fromC looks for OpenSSL and GnuTLS in one of the file's symbol tables.
func (p *plan) fromC(m *image, table elf.SectionType) bool {
	ssl, gnu := openSSL(), gnuTLS()
	names := append(append(ssl.names(), gnu.names()...), "BIO_write", boringMark, libuvMark)
	found, err := m.symbols(table, names)
	if err != nil {
		return false
	}
	if f, ok := found["BIO_write"]; ok {
		p.bio, _ = m.offset(f.addr)
	}
	for _, f := range []functions{ssl, gnu} {
		if !f.has(found) {
			continue
		}
		p.kind = f.kind
		if _, ok := found[boringMark]; ok && f.kind == OpenSSL {
			p.kind = BoringSSL
		}
		own := map[string]function{}
		for _, n := range f.names() {
			if fn, ok := found[n]; ok {
				own[n] = fn
			}
		}
		points, err := m.place(f, own)
		if err != nil {
			p.fail(p.kind, "%v", err)
			return true
		}
		p.points = points
		// With libuv inside (node), records always go through memory.
		if _, ok := found[libuvMark]; ok && p.bio != 0 {
			p.points = append(p.points, point{"c_bio_write", []spot{plainSpot(p.bio)}})
		}
		return true
	}
	return false
}

// withoutSymbols recognises TLS that is in a program and cannot be found in it.
func (p *plan) withoutSymbols(m *image) {
	const openssl, rustls = "ssl/ssl_lib.c", "/rustls-"
	found := m.contains([]string{openssl, rustls})
	switch {
	case found[openssl]:
		p.fail(OpenSSL, "linked statically, and its symbols were stripped")
	case found[rustls]:
		p.fail(Rustls, "rustls has no functions that can be found from outside")
	}
}

// watchesBIO tells whether BIO_write is probed with the rest.
func (p *plan) watchesBIO() bool {
	return slices.ContainsFunc(p.points, func(pt point) bool { return pt.program == "c_bio_write" })
}
