package record

import (
	"fmt"
	"reflect"
)

// Flattener turns records into points by their struct tags. It reads the tags
// once, is immutable afterwards and safe for concurrent use.
type Flattener struct {
	plans map[reflect.Type]*plan
}

// NewFlattener prepares the measurements of Prototypes. An error is a mistake
// in a struct tag; a test of this package keeps it from happening.
func NewFlattener() (*Flattener, error) { return newFlattener(Prototypes()) }

func newFlattener(protos []Record) (*Flattener, error) {
	f := &Flattener{plans: make(map[reflect.Type]*plan, len(protos))}
	for _, r := range protos {
		t := reflect.TypeOf(r)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("measurement %s: %s is not a pointer to a struct", r.Measurement(), t)
		}
		p, err := newPlan(t.Elem())
		if err != nil {
			return nil, fmt.Errorf("measurement %s: %w", r.Measurement(), err)
		}
		f.plans[t] = p
	}
	return f, nil
}

// Flatten writes r into p in declaration order. It overwrites p but reuses the
// memory of p.Tags and p.Fields: a caller that keeps points gives each its
// own. It reports false, and leaves p alone, for a type or a nil pointer that
// Prototypes does not know.
func (f *Flattener) Flatten(r Record, p *Point) bool {
	pl := f.plans[reflect.TypeOf(r)]
	if pl == nil {
		return false
	}
	v := reflect.ValueOf(r)
	if v.IsNil() {
		return false
	}
	p.Name, p.Time, p.Category = r.Measurement(), r.Timestamp(), r.Category()
	p.Tags, p.Fields = p.Tags[:0], p.Fields[:0]
	pl.read(v.Elem(), p)
	return true
}

// read appends the columns of the struct v to p.
func (pl *plan) read(v reflect.Value, p *Point) {
	for i := range pl.steps {
		s := &pl.steps[i]
		f := v.Field(s.index)
		switch {
		case s.group == nil:
			s.column.read(f, p)
		case !s.pointer:
			s.group.read(f, p)
		case !f.IsNil():
			s.group.read(f.Elem(), p)
		}
	}
}

func (c *column) read(v reflect.Value, p *Point) {
	if c.omit && v.IsZero() {
		return
	}
	if c.tag {
		p.Tags = append(p.Tags, Tag{Key: c.key, Value: v.String()})
		return
	}
	p.Fields = append(p.Fields, Field{Key: c.key, Value: c.value(v), Unit: c.unit})
}

// value widens v to one of the types that Field.Value documents.
func (c *column) value(v reflect.Value) any {
	switch c.kind {
	case reflect.Int64:
		return v.Int()
	case reflect.Uint64:
		return v.Uint()
	case reflect.Float64:
		return v.Float()
	case reflect.Bool:
		return v.Bool()
	default:
		return v.String()
	}
}

// AddTags appends global tags (host, service, the user's own) whose key the
// point does not have yet: what the record says about itself wins.
func (p *Point) AddTags(global []Tag) {
	own := p.Tags
	for _, g := range global {
		if !hasKey(own, g.Key) {
			p.Tags = append(p.Tags, g)
		}
	}
}

func hasKey(tags []Tag, key string) bool {
	for i := range tags {
		if tags[i].Key == key {
			return true
		}
	}
	return false
}
