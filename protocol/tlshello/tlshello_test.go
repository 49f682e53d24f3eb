package tlshello

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// hellos returns the first bytes of both sides of a handshake of crypto/tls.
func hellos(t testing.TB, version uint16, curves []tls.CurveID) (client, server []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		tls.Server(c, &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version,
			NextProtos: []string{"h2"}, CurvePreferences: curves,
		}).Handshake()
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ca := &tap{Conn: conn}
	err = tls.Client(ca, &tls.Config{
		InsecureSkipVerify: true, ServerName: "weft.example", NextProtos: []string{"h2", "http/1.1"},
	}).Handshake()
	if err != nil {
		t.Fatal(err)
	}
	return ca.sent, ca.got
}

// tap keeps what passes.
type tap struct {
	net.Conn
	sent, got []byte
}

func (c *tap) Write(b []byte) (int, error) {
	c.sent = append(c.sent, b...)
	return c.Conn.Write(b)
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got = append(c.got, b[:n]...)
	return n, err
}

func TestHellos(t *testing.T) {
	for _, v := range []struct {
		name    string
		version uint16
		alpn    string
		curves  []tls.CurveID
		retry   bool
	}{
		{"1.2", tls.VersionTLS12, "h2", nil, false},
		{"1.3", tls.VersionTLS13, "", nil, false},
		{"1.3 retry", tls.VersionTLS13, "", []tls.CurveID{tls.CurveP521}, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			client, server := hellos(t, v.version, v.curves)
			c, ok := ParseClientHello(client)
			if !ok || c.ServerName != "weft.example" || !slices.Equal(c.ALPN, []string{"h2", "http/1.1"}) ||
				!slices.Equal(c.Versions, []uint16{tls.VersionTLS13, tls.VersionTLS12}) {
				t.Errorf("ClientHello: %+v %v", c, ok)
			}
			s, ok := ParseServerHello(server)
			if !ok || s.Version != v.version || s.ALPN != v.alpn || s.Cipher == 0 || s.Retry != v.retry {
				t.Errorf("ServerHello: %+v %v", s, ok)
			}
			if _, ok := ParseServerHello(client); ok {
				t.Error("a ClientHello was taken for a ServerHello")
			}
			if got, ok := ParseClientHello(split(client)); !ok || got.ServerName != c.ServerName {
				t.Errorf("in two records: %+v %v", got, ok)
			}
			for n := range len(client) {
				if got, ok := ParseClientHello(client[:n]); ok && got.ServerName != "" && got.ServerName != c.ServerName {
					t.Errorf("cut at %d: %+v", n, got)
				}
			}
			for n := range len(server) {
				if got, ok := ParseServerHello(server[:n]); ok && (got.Version != s.Version || got.ALPN != s.ALPN) {
					t.Errorf("cut at %d: %+v", n, got)
				}
			}
		})
	}
}

// split moves the second half of a one-record hello into a second record.
func split(b []byte) []byte {
	n := int(b[3])<<8 | int(b[4])
	head, body := b[:3], b[5:5+n]
	half := n / 2
	out := append(slices.Clone(head), byte(half>>8), byte(half))
	out = append(out, body[:half]...)
	out = append(out, head...)
	out = append(out, byte((n-half)>>8), byte(n-half))
	return append(out, body[half:]...)
}

func TestNoHello(t *testing.T) {
	for _, s := range []string{
		"", "\x16", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n", "\x17\x03\x03\x00\x01a",
		"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "\x16\x03\x01\xff\xff\x01\xff\xff\xff\x03\x03",
	} {
		if h, ok := ParseClientHello([]byte(s)); ok {
			t.Errorf("%q: %+v", s, h)
		}
		if h, ok := ParseServerHello([]byte(s)); ok {
			t.Errorf("%q: %+v", s, h)
		}
	}
}

func FuzzHello(f *testing.F) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := hellos(f, v, nil)
		f.Add(client)
		f.Add(server)
		f.Add(split(client))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := ParseClientHello(b)
		if !ok && (c.ServerName != "" || c.ALPN != nil) {
			t.Errorf("no hello, and yet %+v", c)
		}
		if len(c.ServerName) > maxName || len(c.ALPN) > maxProtocols || len(c.Versions) > maxVersions ||
			strings.ContainsAny(c.ServerName, " \n\x00") {
			t.Errorf("out of bounds: %+v", c)
		}
		s, ok := ParseServerHello(b)
		if version := []byte{byte(s.Version >> 8), byte(s.Version)}; ok && !bytes.Contains(b, version) {
			t.Errorf("a version from nowhere: %+v", s)
		}
	})
}
