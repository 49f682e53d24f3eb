package dns

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// rec is a resource record of a test: owner, TTL and body.
type rec struct {
	owner string
	ttl   uint32
	body  dnsmessage.ResourceBody
}

func a(owner string, ttl uint32, ip string) rec {
	return rec{owner, ttl, &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()}}
}

func aaaa(owner string, ttl uint32, ip string) rec {
	return rec{owner, ttl, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(ip).As16()}}
}

func cname(owner string, ttl uint32, to string) rec {
	return rec{owner, ttl, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}}
}

// build makes a message of one question and the answers.
func build(t testing.TB, h dnsmessage.Header, name string, typ dnsmessage.Type, answers ...rec) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: h}
	m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}}
	for _, r := range answers {
		m.Answers = append(m.Answers, resource(r))
	}
	return pack(t, &m)
}

func resource(r rec) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{
			Name: dnsmessage.MustNewName(r.owner), Class: dnsmessage.ClassINET, TTL: r.ttl,
		},
		Body: r.body,
	}
}

func pack(t testing.TB, m *dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func addrs(m *Message) string {
	var all []string
	for _, x := range m.Addrs {
		all = append(all, x.IP.String()+"/"+strconv.Itoa(int(x.TTL)))
	}
	return strings.Join(all, " ")
}

func decoded(t *testing.T, b []byte) *Message {
	t.Helper()
	m := new(Message)
	if err := m.Decode(b); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHeaderAndQuestion(t *testing.T) {
	m := decoded(t, build(t, dnsmessage.Header{ID: 0xbeef, OpCode: 4, RCode: 3, Response: true, Truncated: true},
		"WWW.Example.COM.", dnsmessage.TypeAAAA))
	if m.ID != 0xbeef || !m.Response || m.Opcode != 4 || m.Rcode != 3 || !m.Truncated || m.EDNS || m.Partial {
		t.Errorf("header: %+v", m)
	}
	if m.Name != "www.example.com" || m.Type != "AAAA" || m.Class != 1 || m.Questions != 1 || m.Answers != 0 {
		t.Errorf("question: %+v", m)
	}
	m = decoded(t, build(t, dnsmessage.Header{}, ".", 65))
	if m.Response || m.Name != "." || m.Type != "HTTPS" {
		t.Errorf("root: %+v", m)
	}
	if m = decoded(t, build(t, dnsmessage.Header{}, "x.", 65280)); m.Type != "TYPE65280" {
		t.Errorf("type %q", m.Type)
	}
}

// What `dig +noedns` and systems on a LAN put on the wire.
func TestRealPackets(t *testing.T) {
	for _, c := range []struct{ what, hex, name, typ, addrs string }{
		{"RFC 1035 query", `24 1a 01 00 00 01 00 00 00 00 00 00 03 77 77 77 06 67 6f 6f 67 6c 65 03 63 6f 6d 00 00 01 00 01`,
			"www.google.com", "A", ""},
		{"a compressed answer", `
			24 1a 81 80 00 01 00 03 00 00 00 00 03 77 77 77 06 67 6f 6f 67 6c 65 03 63 6f 6d 00 00 01 00 01
			c0 0c 00 05 00 01 00 05 28 39 00 12 03 77 77 77 01 6c 06 67 6f 6f 67 6c 65 03 63 6f 6d 00
			c0 2c 00 01 00 01 00 00 00 e3 00 04 42 f9 59 63 c0 2c 00 01 00 01 00 00 00 e3 00 04 42 f9 59 68`,
			"www.google.com", "A", "66.249.89.99/227 66.249.89.104/227"},
		{"a DNS-SD instance with dots, blanks and UTF-8", `00 00 00 00 00 01 00 00 00 00 00 00
			0b 44 72 2e 20 4a c3 b6 2e 5c 20 31 05 5f 68 74 74 70 04 5f 74 63 70 05 6c 6f 63 61 6c 00 00 21 80 01`,
			`dr\.\032j\195\182\.\\\0321._http._tcp.local`, "SRV", ""},
	} {
		m := decoded(t, unhex(t, c.hex))
		if m.Name != c.name || m.Type != c.typ || addrs(m) != c.addrs || m.Partial {
			t.Errorf("%s: %s %s [%s]", c.what, m.Name, m.Type, addrs(m))
		}
	}
}

func TestChains(t *testing.T) {
	for _, c := range []struct {
		what    string
		answers []rec
		want    []string // in any order
	}{
		{"direct", []rec{a("x.org.", 300, "10.0.0.1"), aaaa("X.ORG.", 301, "fd00::1")},
			[]string{"10.0.0.1/300", "fd00::1/301"}},
		{"mapped", []rec{aaaa("x.org.", 300, "::ffff:10.0.0.1")}, []string{"10.0.0.1/300"}},
		{"three CNAMEs, the middle one is the shortest", []rec{
			cname("x.org.", 900, "a.net."), cname("a.net.", 70, "b.net."), cname("b.net.", 800, "c.net."),
			a("c.net.", 500, "10.0.0.1"), a("c.net.", 69, "10.0.0.2"), a("a.net.", 600, "10.0.0.3"),
		}, []string{"10.0.0.1/70", "10.0.0.2/69", "10.0.0.3/600"}},
		{"somebody else's", []rec{a("y.org.", 300, "10.0.0.1"), cname("y.org.", 300, "z.org."),
			a("x.org.org.", 300, "10.0.0.2"), a("org.", 300, "10.0.0.3"), a("z.org.", 300, "10.0.0.4")}, nil},
		{"the chain's loop", []rec{cname("x.org.", 300, "y.org."),
			cname("y.org.", 300, "x.org."), a("y.org.", 300, "10.0.0.1")},
			[]string{"10.0.0.1/300"}},
		{"a CNAME to itself", []rec{cname("x.org.", 300, "x.org."), a("x.org.", 300, "10.0.0.1")}, []string{"10.0.0.1/300"}},
		{"a TTL beyond 31 bits is 0", []rec{a("x.org.", 1<<31, "10.0.0.1")}, []string{"10.0.0.1/0"}},
	} {
		for range 30 {
			got := strings.Fields(addrs(decoded(t, build(t, dnsmessage.Header{Response: true}, "x.org.", 1, c.answers...))))
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.what, got, c.want)
			}
			rand.Shuffle(len(c.answers), func(i, j int) { c.answers[i], c.answers[j] = c.answers[j], c.answers[i] })
		}
	}
}

// A chain of more than 16 names, and more than 1024 records, are cut there.
func TestBounds(t *testing.T) {
	name := func(i int) string { return strings.Repeat("x", i+1) + ".org." }
	var answers []rec
	for i := range 40 {
		answers = append(answers, cname(name(i), 300, name(i+1)), a(name(i), 300, "10.0.0."+strconv.Itoa(i)))
	}
	m := decoded(t, build(t, dnsmessage.Header{Response: true}, name(0), 1, answers...))
	if len(m.Addrs) != maxChain || m.Answers != 80 {
		t.Errorf("%d addresses of a long chain, %d answers", len(m.Addrs), m.Answers)
	}
	answers = slices.Repeat([]rec{a("x.org.", 1, "10.0.0.1")}, 3000)
	m = decoded(t, build(t, dnsmessage.Header{Response: true}, "x.org.", 1, answers...))
	if len(m.Addrs) != maxRecords || m.Answers != 3000 || m.Partial {
		t.Errorf("%d addresses of %d", len(m.Addrs), m.Answers)
	}
}

func TestExtendedRcode(t *testing.T) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, RCode: 1}}
	m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("x."), Type: 1, Class: 1}}
	ns := &dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.x.")}
	m.Authorities = []dnsmessage.Resource{resource(rec{"x.", 1, ns})}
	m.Additionals = []dnsmessage.Resource{resource(a("ns.x.", 300, "10.9.9.9")), {
		Header: dnsmessage.ResourceHeader{
			Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeOPT, TTL: 1 << 24, Class: 1232,
		},
		Body: &dnsmessage.OPTResource{},
	}}
	got := decoded(t, pack(t, &m))
	if got.Rcode != 17 || !got.EDNS || len(got.Addrs) != 0 {
		t.Errorf("rcode %d EDNS %v addresses %v", got.Rcode, got.EDNS, got.Addrs)
	}
}

// Every prefix of a message: an error up to the question's end, then what of
// the records is whole.
func TestCut(t *testing.T) {
	b := build(t, dnsmessage.Header{ID: 7, Response: true}, "x.org.", 1,
		cname("x.org.", 300, "y.org."), a("y.org.", 300, "10.0.0.1"), a("y.org.", 300, "10.0.0.2"))
	question := headerLen + len("\x01x\x03org\x00") + 4
	for n := range len(b) {
		var m Message
		err := m.Decode(b[:n:n])
		if (err == nil) != (n >= question) || err != nil && !errors.Is(err, ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err == nil && (!m.Partial || m.Name != "x.org" || m.Answers != 3 || len(m.Addrs) > 1) {
			t.Errorf("%d bytes: %+v", n, m)
		}
		if n >= headerLen && m.ID != 7 {
			t.Errorf("%d bytes: no ID", n)
		}
	}
	if m := decoded(t, b); m.Partial || len(m.Addrs) != 2 {
		t.Errorf("whole: %+v", m)
	}
}

func TestHostile(t *testing.T) {
	const head = "0007 8180 0001 0001 0000 0000"
	for what, hex := range map[string]string{
		"a pointer to itself":          head + "c00c 0001 0001",
		"a pointer forward":            head + "c010 0001 0001 0161 00",
		"a pointer into the header":    head + "c000 0001 0001",
		"a loop through a label":       head + "0161 c00c 0001 0001",
		"an extended label":            head + "41 00 0001 0001",
		"a name of more than 255":      head + strings.Repeat("3f"+strings.Repeat("61", 63), 4) + "00 0001 0001",
		"a name of 128 labels and one": head + strings.Repeat("0161", 128) + "00 0001 0001",
	} {
		if err := new(Message).Decode(unhex(t, hex)); !errors.Is(err, ErrBad) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The question is good, the answers are not: no address is believed.
	for what, hex := range map[string]string{
		"an extended label":  head + "0161 00 0001 0001  0161 00 0001 0001 00000001 0004 0a000001  41",
		"an owner in a loop": head + "0161 00 0001 0001  c013 0001 0001 00000001 0004 0a000001",
		"a short address":    head + "0161 00 0001 0001  c00c 0001 0001 00000001 0003 0a0000",
		"class CHAOS":        head + "0161 00 0001 0001  c00c 0001 0003 00000001 0004 0a000001",
	} {
		hex = strings.Replace(hex, "0001 0001", "0001 0002", 1)
		m := new(Message)
		if err := m.Decode(unhex(t, hex)); err != nil || m.Name != "a" || len(m.Addrs) != 0 || !m.Partial {
			t.Errorf("%s: %v %+v", what, err, m)
		}
	}
}

// A multicast answer has no question.
func TestOwner(t *testing.T) {
	msg := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	for _, r := range []rec{cname("b.local.", 9, "Host.local."), a("host.local.", 120, "10.0.0.7")} {
		x := resource(r)
		x.Header.Class |= 1 << 15
		msg.Answers = append(msg.Answers, x)
	}
	m := decoded(t, pack(t, &msg))
	if m.Name != "" || m.Type != "" || len(m.Addrs) != 0 {
		t.Errorf("%+v", m)
	}
	for i, want := range []string{"b.local CNAME 10.0.0.7/9", "host.local A 10.0.0.7/120"} {
		name, typ, ok := m.Owner(i)
		m.Follow(i)
		if got := name + " " + typ + " " + addrs(m); got != want || !ok {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, _, ok := m.Owner(2); ok {
		t.Error("a third answer")
	}
}

func TestNamesAreForgotten(t *testing.T) {
	var m Message
	for i := range 3*maxNames + 5 {
		b := build(t, dnsmessage.Header{}, "n"+strconv.Itoa(i)+".", 1)
		if err := m.Decode(b); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.names) == 0 || len(m.names) > maxNames {
		t.Errorf("%d names are remembered", len(m.names))
	}
	b := build(t, dnsmessage.Header{}, "again.", 1)
	if n := testing.AllocsPerRun(100, func() { _ = m.Decode(b) }); n != 0 {
		t.Errorf("%v allocations for a name that came before", n)
	}
}

// What dnsmessage, a decoder by others, can read, we read alike.
func FuzzDecode(f *testing.F) {
	f.Add(build(f, dnsmessage.Header{Response: true}, "x.org.", 1,
		cname("x.org.", 3, "y.org."), a("y.org.", 3, "10.0.0.1")))
	f.Add(build(f, dnsmessage.Header{ID: 1}, ".", 65))
	f.Add(unhex(f, "0007818000010001000000000161c00c00010001"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		err := m.Decode(b)
		var p dnsmessage.Parser
		h, herr := p.Start(b)
		if (herr != nil) != (len(b) < headerLen) {
			t.Fatal(herr)
		}
		if herr == nil && (m.ID != h.ID || m.Response != h.Response ||
			uint16(m.Opcode) != uint16(h.OpCode) || m.Rcode&15 != int(h.RCode)) {
			t.Fatalf("header %+v, want %+v", m, h)
		}
		if q, qerr := p.Question(); err == nil && qerr == nil {
			if want := text(q.Name); m.Name != want || m.Type != typeName(uint16(q.Type)) || m.Class != uint16(q.Class) {
				t.Fatalf("%s %s, want %s %v", m.Name, m.Type, want, q.Type)
			}
			direct(t, &m, &p, q.Name)
		}
		for i := 0; ; i++ {
			if _, _, ok := m.Owner(i); !ok {
				break
			}
			m.Follow(i)
		}
	})
}

// text is a name of dnsmessage in our form.
func text(n dnsmessage.Name) string {
	var wire []byte
	for _, label := range strings.Split(strings.TrimSuffix(n.String(), "."), ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	for i := range wire {
		wire[i] = lower(wire[i])
	}
	return present(wire)
}

// direct checks that the addresses of the asked name itself are all found.
func direct(t *testing.T, m *Message, p *dnsmessage.Parser, name dnsmessage.Name) {
	if p.SkipAllQuestions() != nil {
		return
	}
	all, err := p.AllAnswers()
	if err != nil || m.Partial || len(all) > maxRecords {
		return
	}
	for i, r := range all {
		if owner, _, _ := m.Owner(i); owner == "" {
			continue // dnsmessage follows pointers forward and into the header
		}
		body, ok := r.Body.(*dnsmessage.AResource)
		if !ok || r.Header.Class != 1 || r.Header.Length != 4 || text(r.Header.Name) != text(name) {
			continue
		}
		ip := netip.AddrFrom4(body.A)
		if !slices.ContainsFunc(m.Addrs, func(x Addr) bool { return x.IP == ip }) {
			t.Fatalf("%v is missing in %v", ip, m.Addrs)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	msg := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	msg.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("www.example.com."), Type: 1, Class: 1}}
	for _, r := range []rec{cname("www.example.com.", 3, "edge.cdn.example.net."),
		a("edge.cdn.example.net.", 60, "10.0.0.1"), a("edge.cdn.example.net.", 60, "10.0.0.2")} {
		msg.Answers = append(msg.Answers, resource(r))
	}
	msg.Additionals = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."),
		Type: dnsmessage.TypeOPT, Class: 1232}, Body: &dnsmessage.OPTResource{}}}
	wire := pack(b, &msg)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(wire); err != nil || len(m.Addrs) != 2 {
			b.Fatal(err)
		}
	}
}
