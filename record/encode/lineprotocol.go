package encode

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"weft/record"
)

// AppendLineProtocol appends points as InfluxDB line protocol with nanosecond
// times. The form has less room than PBPoints: tags are sorted and empty ones
// left out, control bytes in names and tags become spaces (counted as cut),
// and a point without fields cannot be written (counted as lost).
func AppendLineProtocol(dst []byte, points []record.Point) ([]byte, Loss) {
	e := lineEncoder{}
	e.enc.SetBuffer(dst)
	for i := range points {
		e.point(&points[i])
	}
	return e.enc.Bytes(), e.loss
}

type lineEncoder struct {
	enc  lineprotocol.Encoder
	loss Loss
	tags []record.Tag
}

func (e *lineEncoder) point(p *record.Point) {
	fields := first(&e.loss, p.Fields, MaxFields)
	if !slices.ContainsFunc(fields, func(f record.Field) bool { _, ok := lineValue(f.Value); return ok }) {
		e.loss.Points++
		return
	}
	e.enc.StartLine(e.clean(e.loss.clip(validText(p.Name), MaxName)))
	for _, t := range e.sortedTags(p.Tags) {
		e.enc.AddTag(t.Key, t.Value)
	}
	for i := range fields {
		e.field(&fields[i])
	}
	e.enc.EndLine(time.Unix(0, p.Time))
	if e.enc.Err() != nil {
		// The library has taken the broken line back.
		e.loss.Points++
		e.enc.ClearErr()
	}
}

func (e *lineEncoder) field(f *record.Field) {
	v, ok := lineValue(f.Value)
	if !ok {
		e.loss.Cut++
		return
	}
	e.enc.AddField(e.clean(validText(f.Key)), v)
}

// lineValue reports false for what the form has no value for: NaN, ±Inf and
// types that record.Field does not document. A uint64 is written as an
// integer where it fits, since InfluxDB 1 parsers do not know the u suffix.
func lineValue(v any) (lineprotocol.Value, bool) {
	switch x := v.(type) {
	case uint64:
		if x <= math.MaxInt64 {
			return lineprotocol.IntValue(int64(x)), true
		}
		return lineprotocol.UintValue(x), true
	case string:
		return lineprotocol.StringValue(validText(x))
	case int64, float64, bool:
		return lineprotocol.NewValue(x)
	default:
		return lineprotocol.Value{}, false
	}
}

func (e *lineEncoder) sortedTags(tags []record.Tag) []record.Tag {
	e.tags = e.tags[:0]
	for _, t := range first(&e.loss, tags, MaxTags) {
		t.Key = e.clean(validText(t.Key))
		t.Value = e.clean(e.loss.clip(validText(t.Value), MaxTagValue))
		if t.Key != "" && t.Value != "" {
			e.tags = append(e.tags, t)
		}
	}
	slices.SortStableFunc(e.tags, func(a, b record.Tag) int { return strings.Compare(a.Key, b.Key) })
	return e.tags
}

// clean makes s a name or tag that the form can carry back and forth: UTF-8,
// no control byte, no backslash at the end. It comes after clipping, which may
// leave a backslash there.
func (e *lineEncoder) clean(s string) string {
	if plain(s) {
		return s
	}
	e.loss.Cut++
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.TrimRight(s, `\`)
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return !strings.HasSuffix(s, `\`)
}
