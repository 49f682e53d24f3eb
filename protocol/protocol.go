// Package protocol is the contract of an application protocol: pure functions
// on bytes, no I/O, no clock. Each protocol is a folder below this one, and one
// line in agent/parts.go; the order of those lines is the order of detection.
//
// Place in the path of a record: l7 puts the bytes of a connection in order and
// feeds them to the protocol's Conn → Exchange → record.Httpflow and others.
package protocol

// Side is an end of a connection: the one that sent the bytes.
type Side uint8

// The sides. Client is the end that connected.
const (
	Client Side = iota
	Server
)

// Peer is the other side.
func (s Side) Peer() Side { return 1 - s }

// Verdict is what Detect makes of the first bytes of a connection.
type Verdict uint8

// The verdicts.
const (
	No       Verdict = iota // it is another protocol
	NeedMore                // these bytes could be the beginning of it
	Yes
)

// Protocol recognises a protocol and opens connections of it. It is immutable
// and safe for concurrent use.
type Protocol interface {
	// Name is the lower-case name of the protocol, e.g. "http".
	Name() string
	// Detect judges the first bytes that were seen of one side. When joined is
	// true they come from the middle of a connection, so only what stands on
	// its own (a request line, a status line, a frame) may count.
	Detect(side Side, first []byte, joined bool) Verdict
	// Open returns the parser of one connection. When joined is true, bytes
	// before the first Feed were not seen.
	Open(joined bool) Conn
}

// Emit takes a finished exchange. It belongs to the receiver.
type Emit func(*Exchange)

// Conn parses one connection. Calls come from one goroutine at a time. A Conn
// never keeps seg.Data. Memory per Conn is bounded whatever the bytes are.
type Conn interface {
	// Feed consumes bytes of one side. Consecutive calls of a side are
	// contiguous: the next begins behind Consumed and Skip of this one.
	Feed(seg Segment, emit Emit) Progress
	// Lost tells that n bytes of the side, at the place where the next Feed of
	// it would have begun, will never come. The Conn finds the next message by
	// itself, from the start of a later segment, and counts what it gave up.
	Lost(side Side, n uint64)
	// Close ends the connection at a time in monotonic ns: what waits for an
	// answer leaves with Status 0, what ends with the connection is complete.
	Close(at int64, emit Emit)
}

// Segment is a run of bytes of one side in the order of the stream.
type Segment struct {
	Side Side
	// Offset of Data[0] in the side's stream, counted from its first byte; the
	// true one even for a connection that was joined late.
	Offset uint64
	Data   []byte
	// Fresh is how many bytes at the end of Data came last; those before it
	// have been fed before and were not consumed.
	Fresh int
	// Begun is when the bytes before the fresh ones were seen (of several
	// deliveries the first), Now when the fresh ones were; monotonic ns.
	Begun, Now int64
	// Started is true when the fresh bytes begin a packet or a write, which is
	// where messages begin after a loss.
	Started bool
}

// At is when byte i of the segment was seen.
func (s Segment) At(i int) int64 {
	if i < len(s.Data)-s.Fresh {
		return s.Begun
	}
	return s.Now
}

// Progress is what a Conn made of a segment.
type Progress struct {
	// Consumed bytes of Data are done with. The rest is fed again with more
	// behind it.
	Consumed int
	// Skip is how many bytes after Data, all of which was consumed, the Conn
	// does not want to see: the rest of a body. They need not be captured.
	Skip uint64
	// End says why the Conn wants no more bytes; "" to go on.
	End End
}

// End is why a connection is not parsed any further.
type End string

// The reasons.
const (
	// Upgraded: the bytes that follow are of another, unknown protocol
	// (WebSocket, a CONNECT tunnel).
	Upgraded End = "upgraded"
	// UpgradedH2C: HTTP/2 follows (RFC 7540 section 3.2).
	UpgradedH2C End = "upgraded_h2c"
	// Invalid: the bytes are not of this protocol.
	Invalid End = "invalid"
)

// Exchange is a request and its response. Strings do not refer to fed bytes.
type Exchange struct {
	// Protocol is "http", "http2", "grpc", "dns", …
	Protocol string
	// Version of the protocol as the wire says it: "1.0", "1.1", "2".
	Version string
	// StreamID is that of HTTP/2, else 0.
	StreamID uint32
	// ReqOffset is the offset of the request's first byte in the client's
	// stream: with the connection uid it identifies the exchange.
	ReqOffset uint64
	// Start is when the request's first byte was seen, First the response's
	// first byte (0: none came), End the last byte of either; monotonic ns.
	Start, First, End int64
	// ReqBytes and RespBytes are whole messages: head, body, trailers, framing.
	ReqBytes, RespBytes uint64
	// Method is the HTTP method, or the command of another protocol.
	Method string
	// Path is the request target as sent, without the query when the protocol
	// was opened so; or what another protocol's command is about. Unknown
	// ("unknown", never a guess) when HPACK state was missed.
	Path string
	// Truncated: Path was cut.
	Truncated bool
	// Host is the authority or Host header.
	Host string
	// Status is the response's code; 0 when no response came.
	Status int
	// GRPC is set when the exchange is a gRPC call.
	GRPC *GRPC
	// Message is the protocol's own octets of a response where a later stage
	// decodes them (DNS); else nil.
	Message []byte
	// Attrs are what only this protocol has, in a stable order.
	Attrs []Attr
}

// GRPC is what a gRPC call has beyond HTTP/2.
type GRPC struct {
	Service, Method string
	// Status is grpc-status, or -1 when none was seen (a reset, a lost trailer).
	Status  int
	Message string
}

// Attr is a protocol's own attribute.
type Attr struct{ Key, Value string }

// Counts are messages that a Conn saw and did not emit. A Conn that gives any
// up has a method `Counts() Counts`, with the sums since it was opened.
type Counts struct {
	// Orphans are responses whose request was not seen, or not for certain.
	Orphans uint64
	// Dropped are requests whose response is not certain, or that were too many.
	Dropped uint64
}
