package collector

import (
	"encoding/json"
	"strings"
	"time"
)

// Row is one line of the sink stdout.
type Row struct {
	Name   string                 `json:"name"`
	Time   int64                  `json:"time"`
	Tags   map[string]string      `json:"tags"`
	Fields map[string]json.Number `json:"fields"`
	// Seen is when the test read it.
	Seen time.Time `json:"-"`
}

// Field is a field's value, 0 when the row has no such field.
func (r Row) Field(name string) int64 {
	n, _ := r.Fields[name].Int64()
	return n
}

// Rows are rows in the order they were printed.
type Rows []Row

// Where keeps the rows that have all the tags, given as name, value, ….
func (rs Rows) Where(tags ...string) Rows {
	var kept Rows
	for _, r := range rs {
		ok := true
		for i := 0; i+1 < len(tags); i += 2 {
			ok = ok && r.Tags[tags[i]] == tags[i+1]
		}
		if ok {
			kept = append(kept, r)
		}
	}
	return kept
}

// Sum adds a field up.
func (rs Rows) Sum(field string) int64 {
	var sum int64
	for _, r := range rs {
		sum += r.Field(field)
	}
	return sum
}

// String is one JSON object a line.
func (rs Rows) String() string {
	var b strings.Builder
	for _, r := range rs {
		line, _ := json.Marshal(r)
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}
