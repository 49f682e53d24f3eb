package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The figures that are compared, by the names of the collector's fields.
const (
	established    = "tcp_established"
	closed         = "tcp_closed"
	connectFailed  = "tcp_connect_failed"
	bytesRead      = "bytes_read"
	bytesWritten   = "bytes_written"
	packetsRead    = "packets_read"
	packetsWritten = "packets_written"
	// Of the rows of httpflow or dnsflow.
	exchanges       = "exchanges"
	exchangeRead    = "exchange bytes read"
	exchangeWritten = "exchange bytes written"
	// odd are exchanges that ended in a way in which none did.
	odd = "exchanges of a wrong status"
	// strangers are rows that name another process or another direction.
	strangers = "rows of a wrong process or direction"
)

// bounds are what a figure must lie within. They are apart only where the load
// itself cannot know: what was on its way when wrk or iperf3 hung up.
type bounds struct{ Low, High int64 }

func exactly(n int64) bounds { return bounds{n, n} }

func (b bounds) String() string {
	if b.Low == b.High {
		return group(b.Low)
	}
	return group(b.Low) + " to " + group(b.High)
}

// figures are a collector's sums, expectation what they should be.
type (
	figures     map[string]int64
	expectation map[string]bounds
)

// truth is what the load itself counted on its two ends, and which rows are
// its own: those with one of the ports.
type truth struct {
	ports          []string
	client, server end
	// detail is of the load's exchanges, zero when they are not compared.
	detail detail
}

// end is one end of the load.
type end struct {
	process, direction string
	want               expectation
}

func clientEnd(process string, want expectation) end { return end{process, "outgoing", want} }
func serverEnd(process string, want expectation) end { return end{process, "incoming", want} }

// comparison is one figure of one end, as counted and as expected.
type comparison struct {
	End     string `json:"end"`
	Figure  string `json:"figure"`
	Counted int64  `json:"counted"`
	Low     int64  `json:"low"`
	High    int64  `json:"high"`
}

func (c comparison) exact() bool { return c.Low <= c.Counted && c.Counted <= c.High }

func (c comparison) String() string {
	return fmt.Sprintf("%s %s: counted %s, expected %s", c.End, c.Figure, group(c.Counted), bounds{c.Low, c.High})
}

// compare sets a collector's sums against the truth of one end.
func compare(name string, want expectation, got figures) []comparison {
	var out []comparison
	for _, figure := range slices.Sorted(maps.Keys(want)) {
		b := want[figure]
		out = append(out, comparison{End: name, Figure: figure, Counted: got[figure], Low: b.Low, High: b.High})
	}
	return out
}

// differing are the comparisons that do not hold.
func differing(all []comparison) []comparison {
	var out []comparison
	for _, c := range all {
		if !c.exact() {
			out = append(out, c)
		}
	}
	return out
}

// group writes a number with separators: 1234567 as 1,234,567.
func group(n int64) string {
	if n < 0 {
		return "-" + group(-n)
	}
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// kernelCounts are the network namespace's own counters (/proc/net/snmp), the
// second witness beside the load's own count.
type kernelCounts map[string]int64

func (n *namespace) kernelCounts() (kernelCounts, error) {
	text, err := n.read("snmp")
	if err != nil {
		return nil, fmt.Errorf("reading the namespace's counters: %w", err)
	}
	return parseSNMP(text), nil
}

// parseSNMP reads pairs of lines, "Tcp: names…" and "Tcp: values…".
func parseSNMP(text string) kernelCounts {
	out := kernelCounts{}
	names := map[string][]string{}
	for line := range strings.Lines(text) {
		proto, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if names[proto] == nil {
			names[proto] = fields
			continue
		}
		for i, value := range fields[:min(len(fields), len(names[proto]))] {
			out[proto+names[proto][i]], _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return out
}

// since is how far the counters have come.
func (k kernelCounts) since(before kernelCounts) kernelCounts {
	out := kernelCounts{}
	for name, n := range k {
		out[name] = n - before[name]
	}
	return out
}
