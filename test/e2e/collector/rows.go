package collector

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Row is one line of the sink stdout.
type Row struct {
	Name   string                     `json:"name"`
	Time   int64                      `json:"time"`
	Tags   map[string]string          `json:"tags"`
	Fields map[string]json.RawMessage `json:"fields"`
	// Seen is when the test read it.
	Seen time.Time `json:"-"`
}

// Field is a field's value, 0 when the row has no such field or it is text.
func (r Row) Field(name string) int64 {
	n, _ := strconv.ParseInt(string(r.Fields[name]), 10, 64)
	return n
}

// Text is a tag's or a field's value as text, "" when the row has neither.
func (r Row) Text(name string) string {
	if tag, ok := r.Tags[name]; ok {
		return tag
	}
	raw := string(r.Fields[name])
	var text string
	if json.Unmarshal([]byte(raw), &text) == nil {
		return text
	}
	return raw
}

// Rows are rows in the order they were printed.
type Rows []Row

// Where keeps the rows that have all the tags and fields, given as name,
// value, ….
func (rs Rows) Where(pairs ...string) Rows {
	var kept Rows
	for _, r := range rs {
		ok := true
		for i := 0; i+1 < len(pairs); i += 2 {
			ok = ok && r.Text(pairs[i]) == pairs[i+1]
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

// SumBy adds a field up for each combination of tags and fields, whose values
// are joined by spaces. Sums of 0 are left out.
func (rs Rows) SumBy(field string, names ...string) map[string]int64 {
	sums := map[string]int64{}
	for _, r := range rs {
		if n := r.Field(field); n != 0 {
			sums[r.Key(names...)] += n
		}
	}
	return sums
}

// Key is the values of tags and fields, joined by spaces.
func (r Row) Key(names ...string) string {
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = r.Text(name)
	}
	return strings.Join(values, " ")
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
