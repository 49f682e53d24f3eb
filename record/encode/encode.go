// Package encode writes points in the wire forms of the sinks: NDJSON for
// people and tests, DataKit's PBPoints and InfluxDB line protocol for DataKit.
// Every encoder appends to a buffer that its caller owns and reuses.
package encode

import (
	"unicode/utf8"
)

// The limits that the reference's point library puts on a point. Text is cut
// at a rune, so that it stays valid UTF-8.
const (
	MaxName     = 1024 // bytes of a measurement's name
	MaxTagValue = 1024 // bytes of a tag's value
	MaxTags     = 256
	MaxFields   = 1024
)

// Loss counts what an encoder could not give on as it was.
type Loss struct {
	// Cut is the number of names and tag values that were shortened, and of
	// tags and fields that were left out, because of a limit.
	Cut int
	// Points is the number of points that the form cannot express.
	Points int
}

// Clip returns s cut to at most limit bytes at a rune, and whether it was cut.
func Clip(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit], true
}

func (l *Loss) clip(s string, limit int) string {
	s, cut := Clip(s, limit)
	if cut {
		l.Cut++
	}
	return s
}

// first returns the first limit elements of s and counts the rest.
func first[T any](l *Loss, s []T, limit int) []T {
	if len(s) <= limit {
		return s
	}
	l.Cut += len(s) - limit
	return s[:limit]
}
