package record

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
)

// column is one outgoing tag or field of a struct.
type column struct {
	index    int
	key      string
	unit     string
	help     string
	kind     reflect.Kind
	tag      bool
	omit     bool
	new      bool
	optional bool
}

// plan says how to read one struct: its own columns and embedded groups in
// declaration order. A step is either a column or a nested group.
type plan struct {
	steps []step
}

type step struct {
	column
	group   *plan // nil for a column
	pointer bool  // the group is embedded by pointer and may be nil
}

// units lists every unit that a field may declare.
func units() []string { return []string{"B", "count", "us", "ns", "bool", "-"} }

// newPlan reads the struct tags of t, which is a struct type. Its error names
// every mistake: a declaration that passes can be encoded by all encoders.
func newPlan(t reflect.Type) (*plan, error) {
	b := &planner{seen: map[string]bool{}, name: regexp.MustCompile(`^[a-z][a-z0-9_]*$`)}
	p := b.group(t, false)
	if len(b.errs) > 0 {
		return nil, fmt.Errorf("read struct tags of %s: %w", t, errors.Join(b.errs...))
	}
	return p, nil
}

type planner struct {
	seen map[string]bool
	name *regexp.Regexp
	errs []error
}

func (b *planner) group(t reflect.Type, optional bool) *plan {
	p := &plan{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("tag") == "-" {
			continue
		}
		if g, pointer := embedded(f); g != nil {
			p.steps = append(p.steps, step{
				column:  column{index: i},
				group:   b.group(g, optional || pointer),
				pointer: pointer,
			})
			continue
		}
		c := b.column(t, f)
		c.index, c.optional = i, optional || c.omit
		p.steps = append(p.steps, step{column: c})
	}
	return p
}

// embedded returns the struct type of an embedded struct or struct pointer.
func embedded(f reflect.StructField) (t reflect.Type, pointer bool) {
	if !f.Anonymous {
		return nil, false
	}
	t = f.Type
	if t.Kind() == reflect.Pointer {
		t, pointer = t.Elem(), true
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	return t, pointer
}

func (b *planner) column(t reflect.Type, f reflect.StructField) column {
	tag, isTag := f.Tag.Lookup("tag")
	field, isField := f.Tag.Lookup("field")
	c := column{
		key:  tag + field,
		unit: f.Tag.Get("unit"),
		help: f.Tag.Get("help"),
		kind: kindOf(f.Type.Kind()),
		tag:  isTag,
		omit: f.Tag.Get("omit") == "empty",
		new:  f.Tag.Get("new") == "weft",
	}
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			b.errs = append(b.errs, fmt.Errorf("%s.%s: "+format, append([]any{t.Name(), f.Name}, args...)...))
		}
	}
	bad(isTag == isField, "want exactly one of the struct tags tag and field")
	bad(!b.name.MatchString(c.key), "outgoing name %q is not lower_snake_case", c.key)
	bad(b.seen[c.key], "outgoing name %q is declared twice", c.key)
	bad(c.help == "", "help is missing")
	bad(!f.IsExported(), "is not exported")
	bad(f.Tag.Get("omit") != "" && !c.omit, "omit %q is not known, want empty", f.Tag.Get("omit"))
	bad(f.Tag.Get("new") != "" && !c.new, "new %q is not known, want weft", f.Tag.Get("new"))
	bad(isTag && f.Type.Kind() != reflect.String, "a tag is a string, not %s", f.Type)
	bad(c.kind == reflect.Invalid, "type %s cannot be a field", f.Type)
	b.checkUnit(c, bad)
	b.seen[c.key] = true
	return c
}

func (b *planner) checkUnit(c column, bad func(bool, string, ...any)) {
	text := c.tag || c.kind == reflect.String
	bad(text && c.unit != "", "text has no unit, but %q is declared", c.unit)
	bad(!text && !slices.Contains(units(), c.unit), "unit %q is not one of %q", c.unit, units())
	bad((c.kind == reflect.Bool) != (c.unit == "bool"), "unit bool and type bool go together")
}

// kindOf widens a kind to the one a Field carries, Invalid when there is none.
func kindOf(k reflect.Kind) reflect.Kind {
	switch k {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reflect.Int64
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.Uint64
	case reflect.Float32, reflect.Float64:
		return reflect.Float64
	case reflect.Bool, reflect.String:
		return k
	default:
		return reflect.Invalid
	}
}
