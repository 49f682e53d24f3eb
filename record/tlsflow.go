package record

// TLSKey is the identity of a tlsflow row: rows of one interval with the same
// key are one row.
type TLSKey struct {
	FlowKey `tag:"-"`

	// SNI is the name that the client asked for (RFC 6066 section 3), lower case.
	SNI string `field:"sni" new:"weft" help:"Server name that the client asked for; empty without one; {overflow} in an interval with too many."`
	// ALPN is the protocol that was agreed on (RFC 7301). In TLS 1.3 the answer
	// is encrypted: then it is the client's offers, with commas.
	ALPN string `field:"alpn" new:"weft" help:"Application protocol agreed on, e.g. h2; with TLS 1.3, whose answer is encrypted, the client's offers."`
	// Version is "1.3", "1.2", …, or "" when the server did not answer.
	Version string `field:"tls_version" new:"weft" help:"TLS version agreed on; empty when the server never answered."`
	// Cipher is the IANA name of the cipher suite, or its number.
	Cipher string `field:"cipher" new:"weft" help:"Cipher suite agreed on."`
}

// Tlsflow is one row of the measurement tlsflow: the TLS connections of one
// kind that one process opened or accepted in one interval. It is made of the
// hellos on the wire, whether or not the plaintext can be had.
type Tlsflow struct {
	TLSKey
	// Time is the end of the interval in Unix nanoseconds.
	Time int64 `tag:"-"`

	Identity

	Count int64 `field:"count" unit:"count" new:"weft" help:"The number of TLS connections that began."`
}

// Measurement implements Record.
func (*Tlsflow) Measurement() string { return "tlsflow" }

// Timestamp implements Record.
func (t *Tlsflow) Timestamp() int64 { return t.Time }

// Category implements Record.
func (*Tlsflow) Category() Category {
	return Category{Kind: "network", Input: "ebpf-net/tlsflow"}
}

// Fill implements Flow; see Netflow.Fill.
func (t *Tlsflow) Fill(netnsDev uint64) { t.Identity.fill(t.Measurement(), &t.FlowKey, netnsDev) }
