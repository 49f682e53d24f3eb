package record

import (
	"fmt"
	"reflect"
)

// MeasurementSchema describes one measurement for docs/records.md.
type MeasurementSchema struct {
	Name     string
	Category Category
	// Tags and Fields are in declaration order.
	Tags, Fields []ColumnSchema
}

// ColumnSchema describes one tag or field.
type ColumnSchema struct {
	Name string
	// Type is string, int64, uint64, float64 or bool.
	Type string
	// Unit is B, count, us, ns, bool, - for none, or "" for text.
	Unit string
	Help string
	// New is true for what the reference's documents do not have.
	New bool
	// Optional columns are left out of points they do not apply to.
	Optional bool
}

// Schema describes the measurements of Prototypes, in that order. An error is
// a mistake in a struct tag.
func Schema() ([]MeasurementSchema, error) {
	protos := Prototypes()
	out := make([]MeasurementSchema, 0, len(protos))
	for _, r := range protos {
		p, err := newPlan(reflect.TypeOf(r).Elem())
		if err != nil {
			return nil, fmt.Errorf("measurement %s: %w", r.Measurement(), err)
		}
		m := MeasurementSchema{Name: r.Measurement(), Category: r.Category()}
		p.describe(&m)
		out = append(out, m)
	}
	return out, nil
}

func (pl *plan) describe(m *MeasurementSchema) {
	for _, s := range pl.steps {
		if s.group != nil {
			s.group.describe(m)
			continue
		}
		c := ColumnSchema{
			Name: s.key, Type: s.kind.String(), Unit: s.unit, Help: s.help, New: s.new, Optional: s.optional,
		}
		if s.tag {
			m.Tags = append(m.Tags, c)
		} else {
			m.Fields = append(m.Fields, c)
		}
	}
}
