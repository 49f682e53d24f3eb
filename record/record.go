// Package record is the shared model: what leaves the pipeline, declared once.
//
// Every measurement is a Go struct whose fields carry their outgoing name,
// their place (tag or field), unit and help in struct tags. The encoders
// (NDJSON, DataKit's PBPoints, InfluxDB line protocol) and docs/records.md are
// made from these declarations and from nothing else.
//
// Struct tags:
//
//	tag:"src_ip"        outgoing name of a tag (always a string)
//	field:"bytes_read"  outgoing name of a field
//	unit:"B"            unit of a field: B, count, us, ns, bool, - for a number
//	                    without a unit, "" for text
//	help:"…"            one line for docs/records.md
//	omit:"empty"        left out when it has its zero value
//	new:"weft"          not in the reference's documents (docs/records.md says so)
//
// An embedded struct is flattened; an embedded nil pointer leaves its whole
// group out (a UDP flow has no TCP group).
package record

// Record is one row of a measurement: a pointer to a struct declared in this
// package. Sources emit records, enrichers fill them in place, and the
// pipeline turns them into Points for the sinks.
type Record interface {
	// Measurement is the outgoing measurement name, e.g. "netflow".
	Measurement() string
	// Timestamp is the record's time in Unix nanoseconds.
	Timestamp() int64
	// Category is the DataKit data category and input name of the record.
	Category() Category
}

// Category says where a DataKit server files a measurement.
type Category struct {
	// Kind is the path element after /v1/write/: "network", "logging", …
	Kind string
	// Input is the value of the ?input= parameter, e.g. "ebpf-net/netflow".
	Input string
}

// Prototypes lists one empty value of every measurement, in the order of
// docs/records.md. Encoders' golden tests and the documentation range over it.
func Prototypes() []Record {
	return []Record{&Netflow{}, &Httpflow{}, &Dnsflow{}, &Tlsflow{}, &Bash{}, &Exec{}}
}
