package record

// DNSKey is the identity of a dnsflow row: rows of one interval with the same
// key are one row. Ports of the FlowKey other than those of DNS (53), mDNS
// (5353) and LLMNR (5355) are collapsed.
type DNSKey struct {
	FlowKey `tag:"-"`

	// Rcode is the response code with the EDNS bits (RFC 6895 section 2.3), or
	// RcodeTimeout.
	Rcode int `field:"rcode" unit:"-" help:"DNS response code: 0 - NoError, 1 - FormErr, 2 - ServFail, 3 - NXDomain, 4 - NotImp, 5 - Refused, ...; A value of -1 means the request timed out."`
	// Query is the asked name without the last dot, "" when names are not kept.
	Query string `field:"query" omit:"empty" new:"weft" help:"The asked name; {overflow} for the queries of an interval that has too many different names."`
	// QType is the name of the asked type, e.g. "AAAA".
	QType string `field:"qtype" omit:"empty" new:"weft" help:"The asked type: A, AAAA, ..."`
}

// RcodeTimeout is the Rcode of queries that nothing answered in time.
const RcodeTimeout = -1

// Dnsflow is one row of the measurement dnsflow: the queries of one kind that
// one process sent or answered in one interval.
type Dnsflow struct {
	DNSKey
	// Time is the end of the interval in Unix nanoseconds.
	Time int64 `tag:"-"`

	Identity

	Latency    int64 `field:"latency" unit:"ns" help:"Average response time for DNS requests; 0 for requests that timed out, which are in no average."`
	LatencyMax int64 `field:"latency_max" unit:"ns" help:"Maximum response time for DNS requests."`
	Count      int64 `field:"count" unit:"-" help:"The number of DNS requests in a collection cycle."`
	Answers    int64 `field:"answers" unit:"count" new:"weft" help:"The number of records in the answer sections."`
	Retries    int64 `field:"retries" unit:"count" new:"weft" help:"How often a request was sent again before its answer; such requests count once."`
	Truncated  int64 `field:"truncated_responses" unit:"count" new:"weft" omit:"empty" help:"The number of responses with the TC bit, after which a client asks again over TCP."`

	// LatencySum (ns) and LatencyCount make the mean when rows are merged;
	// requests without an answer are in neither.
	LatencySum, LatencyCount int64 `tag:"-"`
}

// Measurement implements Record.
func (*Dnsflow) Measurement() string { return "dnsflow" }

// Timestamp implements Record.
func (d *Dnsflow) Timestamp() int64 { return d.Time }

// Category implements Record.
func (*Dnsflow) Category() Category {
	return Category{Kind: "network", Input: "ebpf-net/dnsflow"}
}

// Fill implements Flow; see Netflow.Fill.
func (d *Dnsflow) Fill(netnsDev uint64) {
	d.Identity.fill(d.Measurement(), &d.FlowKey, netnsDev)
	d.Latency = mean(d.LatencySum, d.LatencyCount)
}
