package tls

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"

	"weft/probe/executable"
	"weft/probe/uprobe"
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
	points []uprobe.Point
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
func (f functions) has(found map[string]executable.Function) bool {
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
	m      *executable.Image
	points map[string]*uprobe.Point
}

func (p places) add(program string, spots ...executable.Spot) error {
	for _, s := range spots {
		off, ok := p.m.Offset(s.Addr)
		near, alsoOK := p.m.Offset(s.Near)
		if !ok || !alsoOK {
			return fmt.Errorf("address %#x is not in the file", s.Addr)
		}
		pt := p.points[program]
		if pt == nil {
			pt = &uprobe.Point{Program: program}
			p.points[program] = pt
		}
		if !slices.Contains(pt.Offsets, off) {
			pt.Offsets = append(pt.Offsets, off)
			pt.Near = append(pt.Near, uprobe.Near{Offset: near, Cookie: s.Depth})
		}
	}
	return nil
}

// place works out where the probes go. A function that only jumps to another
// one is left to that one's probes.
func place(m *executable.Image, f functions, found map[string]executable.Function) ([]uprobe.Point, error) {
	p := places{m: m, points: map[string]*uprobe.Point{}}
	for name, fn := range found {
		program, ok := f.withReturn[name]
		if !ok {
			if err := p.add(f.entryOnly[name], executable.PlainSpot(fn.Addr)); err != nil {
				return nil, err
			}
			continue
		}
		entry, rets, err := m.Spots(fn)
		if errors.Is(err, executable.ErrNoReturn) {
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
	points := []uprobe.Point{{Program: f.atReturn}}
	for program, pt := range p.points {
		if program == f.atReturn {
			points[0] = *pt
		} else {
			points = append(points, *pt)
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
	m, err := executable.Open(path)
	if err != nil {
		return p // no ELF file, or not one for this machine
	}
	defer m.Close()
	if v := m.GoVersion(); v != "" {
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

func (p *plan) fromGo(m *executable.Image, version string) *plan {
	f := goTLS()
	found, err := m.GoFunctions(f.names())
	switch {
	case err != nil:
		return p.fail(Go, "%s: %v", version, err)
	case !f.has(found):
		return p // no crypto/tls in it
	case executable.GoMinor(version) < 17:
		return p.fail(Go, "%s passes arguments on the stack: 1.17 and later are read", version)
	}
	points, err := place(m, f, found)
	if err != nil {
		return p.fail(Go, "%s: %v", version, err)
	}
	p.kind, p.points = Go, points
	return p
}

// fromC looks for OpenSSL and GnuTLS in one of the file's symbol tables.
func (p *plan) fromC(m *executable.Image, table elf.SectionType) bool {
	ssl, gnu := openSSL(), gnuTLS()
	names := append(append(ssl.names(), gnu.names()...), "BIO_write", boringMark, libuvMark)
	found, err := m.Symbols(table, names)
	if err != nil {
		return false
	}
	if f, ok := found["BIO_write"]; ok {
		p.bio, _ = m.Offset(f.Addr)
	}
	for _, f := range []functions{ssl, gnu} {
		if !f.has(found) {
			continue
		}
		p.kind = f.kind
		if _, ok := found[boringMark]; ok && f.kind == OpenSSL {
			p.kind = BoringSSL
		}
		own := map[string]executable.Function{}
		for _, n := range f.names() {
			if fn, ok := found[n]; ok {
				own[n] = fn
			}
		}
		points, err := place(m, f, own)
		if err != nil {
			p.fail(p.kind, "%v", err)
			return true
		}
		p.points = points
		// With libuv inside (node), records always go through memory.
		if _, ok := found[libuvMark]; ok && p.bio != 0 {
			p.points = append(p.points, uprobe.Point{Program: "c_bio_write", Offsets: []uint64{p.bio}})
		}
		return true
	}
	return false
}

// withoutSymbols recognises TLS that is in a program and cannot be found in it.
func (p *plan) withoutSymbols(m *executable.Image) {
	const openssl, rustls = "ssl/ssl_lib.c", "/rustls-"
	found := m.Contains([]string{openssl, rustls})
	switch {
	case found[openssl]:
		p.fail(OpenSSL, "linked statically, and its symbols were stripped")
	case found[rustls]:
		p.fail(Rustls, "rustls has no functions that can be found from outside")
	}
}

// watchesBIO tells whether BIO_write is probed with the rest.
func (p *plan) watchesBIO() bool {
	return slices.ContainsFunc(p.points, func(pt uprobe.Point) bool { return pt.Program == "c_bio_write" })
}
