package record

// HTTPKey is the identity of an httpflow row: rows of one interval with the
// same key are one row. Its FlowKey is of TCP, with ConnectErrno 0.
type HTTPKey struct {
	FlowKey `tag:"-"`

	Method string `field:"method" help:"GET/POST/..."`
	// Path is the request target without what the configuration does not keep.
	Path string `field:"path" help:"Request path; {overflow} for the requests of an interval that has too many different paths."`
	// Version is "1.0", "1.1" or "2".
	Version string `field:"http_version" help:"1.1 / 1.0 / 2."`
	// Status is 0 when the request was never answered.
	Status    int  `field:"status_code" unit:"-" help:"Http status codes; 0 for requests that were never answered."`
	Truncated bool `field:"truncated" unit:"bool" help:"The length of the request path has reached the upper limit of the number of bytes collected, and the request path may be truncated."`
	TLS       bool `field:"tls" unit:"bool" omit:"empty" new:"weft" help:"The requests came through TLS."`

	// GRPCService is "" for what is not gRPC; GRPCStatus is -1 for that and
	// where no grpc-status was seen.
	GRPCService string `tag:"-"`
	GRPCStatus  int    `tag:"-"`
}

// Httpflow is one row of the measurement httpflow: the requests of one kind
// that one process made or answered in one interval. Bytes are whole messages,
// head, body and framing, as the local end read and wrote them: an incoming
// exchange reads the request.
type Httpflow struct {
	HTTPKey
	// Time is the end of the interval in Unix nanoseconds.
	Time int64 `tag:"-"`

	Identity
	*GRPCFields

	Latency      int64 `field:"latency" unit:"ns" help:"TTFB: mean time from the first byte of the request to the first byte of the response; 0 when none was answered."`
	LatencyMax   int64 `field:"latency_max" unit:"ns" new:"weft" help:"Longest time to the first byte."`
	Duration     int64 `field:"duration" unit:"ns" new:"weft" help:"Mean time from the first byte of the request to the last byte of the response."`
	Count        int64 `field:"count" unit:"-" help:"The total number of HTTP requests in a collection cycle."`
	BytesRead    int64 `field:"bytes_read" unit:"B" help:"The number of bytes read."`
	BytesWritten int64 `field:"bytes_written" unit:"B" help:"The number of bytes written."`
	ClientSent   int64 `field:"client_sent" unit:"B" help:"Bytes from client to server."`
	ServerSent   int64 `field:"server_sent" unit:"B" help:"Bytes from server to client."`

	// LatencySum and DurationSum (ns) and LatencyCount make the means when rows
	// are merged. LatencyCount is the number of answered requests.
	LatencySum, DurationSum, LatencyCount int64 `tag:"-"`
	// Latencies counts the answered requests by time to first byte.
	Latencies Histogram `tag:"-"`
}

// GRPCFields is the group of an httpflow row that only gRPC calls have.
type GRPCFields struct {
	Service    string `field:"grpc_service" new:"weft" help:"gRPC service with its package; the method is the end of path."`
	StatusCode int    `field:"grpc_status_code" unit:"-" new:"weft" help:"grpc-status of the call; -1 when none was seen."`
}

// Measurement implements Record.
func (*Httpflow) Measurement() string { return "httpflow" }

// Timestamp implements Record.
func (h *Httpflow) Timestamp() int64 { return h.Time }

// Category implements Record.
func (*Httpflow) Category() Category {
	return Category{Kind: "network", Input: "ebpf-net/httpflow"}
}

// Fill implements Flow; see Netflow.Fill.
func (h *Httpflow) Fill(netnsDev uint64) {
	h.Identity.fill(h.Measurement(), &h.FlowKey, netnsDev)
	h.ClientSent, h.ServerSent = bySide(h.Direction, h.BytesRead, h.BytesWritten)
	h.GRPCFields = nil
	if h.GRPCService != "" {
		h.GRPCFields = &GRPCFields{Service: h.GRPCService, StatusCode: h.GRPCStatus}
	}
	h.Latency, h.Duration = mean(h.LatencySum, h.LatencyCount), mean(h.DurationSum, h.LatencyCount)
}

// mean is 0 without samples.
func mean(sum, n int64) int64 {
	if n == 0 {
		return 0
	}
	return sum / n
}
