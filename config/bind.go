package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"weft/config/value"
)

// binding ties a key to a field of Config: which TOML types it takes, what it
// allows, and how its value gets into the tree.
type binding struct {
	// typ is the name of the type in the documentation.
	typ string
	// kinds are the TOML types that the key takes.
	kinds []unstable.Kind
	// allowed ends each message about a wrong value.
	allowed string
	// emptyUnset: an empty string leaves the default.
	emptyUnset bool
	// parse sets the field from a value of one of the kinds, or from text.
	parse func(*Config, raw) []fault
}

func textKinds() []unstable.Kind { return []unstable.Kind{unstable.String} }
func boolKinds() []unstable.Kind { return []unstable.Kind{unstable.Bool} }
func listKinds() []unstable.Kind { return []unstable.Kind{unstable.Array} }
func numberKinds() []unstable.Kind {
	return []unstable.Kind{unstable.String, unstable.Integer, unstable.Float}
}

// isText tells whether the value comes from the environment or a flag.
func (v raw) isText() bool { return v.kind == unstable.Invalid }

// quoted is the value as the file has it.
func (v raw) quoted() string {
	if v.isText() || v.kind == unstable.String {
		return strconv.Quote(v.text)
	}
	return v.text
}

// set checks the type of the value and sets the field. The field keeps its
// value when there is a fault.
func (b *binding) set(c *Config, v raw) []fault {
	if !v.isText() && !slices.Contains(b.kinds, v.kind) {
		return faultf("is %s; allowed: %s", kindName(v.kind), b.allowed)
	}
	if b.emptyUnset && v.items == nil && strings.TrimSpace(v.text) == "" {
		return nil
	}
	return b.parse(c, v)
}

// unsetWhenEmpty lets an empty string stand for the default.
func unsetWhenEmpty(b binding) binding {
	b.emptyUnset = true
	return b
}

func kindName(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "a string"
	case unstable.Bool:
		return "a boolean"
	case unstable.Integer:
		return "an integer"
	case unstable.Float:
		return "a float"
	case unstable.Array:
		return "an array"
	case unstable.InlineTable, unstable.Table:
		return "a table"
	default:
		return "a date or time"
	}
}

// scalar makes a binding whose value is one text that convert understands.
func scalar[T any](b binding, at func(*Config) *T, convert func(string) (T, string)) binding {
	b.parse = func(c *Config, v raw) []fault {
		got, wrong := convert(strings.TrimSpace(v.text))
		if wrong != "" {
			return faultf("%s %s; allowed: %s", v.quoted(), wrong, b.allowed)
		}
		*at(c) = got
		return nil
	}
	return b
}

// text takes any string; spaces around it are cut off.
func text(at func(*Config) *string) binding {
	b := binding{typ: "string", kinds: textKinds(), allowed: "a string"}
	return scalar(b, at, func(s string) (string, string) { return s, "" })
}

// choice takes one of the allowed words, in any case.
func choice(at func(*Config) *string, allowed ...string) binding {
	b := binding{typ: "string", kinds: textKinds(), allowed: strings.Join(allowed, ", "), emptyUnset: true}
	return scalar(b, at, func(s string) (string, string) {
		if i := indexFold(allowed, s); i >= 0 {
			return allowed[i], ""
		}
		return "", "is not known" + value.Suggest(s, allowed)
	})
}

func indexFold(list []string, s string) int {
	return slices.IndexFunc(list, func(a string) bool { return strings.EqualFold(a, s) })
}

// boolean takes a TOML boolean; as text the usual words.
func boolean(at func(*Config) *bool) binding {
	b := binding{typ: "boolean", kinds: boolKinds(), allowed: "true or false"}
	b.parse = func(c *Config, v raw) []fault {
		switch strings.ToLower(strings.TrimSpace(v.text)) {
		case "true", "t", "1", "yes", "on":
			*at(c) = true
		case "false", "f", "0", "no", "off":
			*at(c) = false
		default:
			return faultf("%q is not a boolean; allowed: true, t, 1, yes, on, false, f, 0, no, off", v.text)
		}
		return nil
	}
	return b
}

// integer takes a whole number from lo to hi.
func integer(at func(*Config) *int, lo, hi int64) binding {
	b := binding{typ: "integer", kinds: []unstable.Kind{unstable.Integer}}
	b.allowed = "an integer from " + strconv.FormatInt(lo, 10) + " to " + strconv.FormatInt(hi, 10)
	return scalar(b, at, func(s string) (int, string) { return value.Integer(s, lo, hi) })
}

// number takes a float from lo to hi, also written as a string.
func number(at func(*Config) *float64, lo, hi float64, allowed string) binding {
	b := binding{typ: "number", kinds: numberKinds(), allowed: allowed}
	return scalar(b, at, func(s string) (float64, string) {
		if s == "" {
			return 0, ""
		}
		return value.Number(s, lo, hi)
	})
}

// numberText is a number that Config keeps as text, "" meaning unset.
func numberText(at func(*Config) *string, lo, hi float64, whole bool, allowed string) binding {
	b := binding{typ: "string", kinds: numberKinds(), allowed: allowed}
	return scalar(b, at, func(s string) (string, string) {
		if s == "" {
			return "", ""
		}
		n, wrong := value.Number(s, lo, hi)
		if wrong == "" && whole && n != math.Trunc(n) {
			wrong = "is not a whole number"
		}
		return s, wrong
	})
}

// duration takes a Go duration that is not shorter than lo.
func duration(at func(*Config) *time.Duration, lo time.Duration, example string) binding {
	b := binding{typ: "duration", kinds: textKinds(), emptyUnset: true}
	b.allowed = "a duration of " + lo.String() + " or longer, such as \"" + example + "\""
	return scalar(b, at, func(s string) (time.Duration, string) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, "is not a duration"
		}
		if d < lo {
			return 0, "is too short"
		}
		return d, ""
	})
}

// list takes an array of strings; as text, items between commas. Without
// allowed words, any item that is not empty is taken.
func list(at func(*Config) *[]string, allowed ...string) binding {
	b := binding{typ: "list", kinds: listKinds(), allowed: "an array of strings"}
	if len(allowed) > 0 {
		b.allowed = "a list of " + strings.Join(allowed, ", ")
	}
	b.parse = func(c *Config, v raw) []fault {
		items, faults := stringItems(v, allowed)
		if faults != nil {
			return faults
		}
		*at(c) = items
		return nil
	}
	return b
}

func stringItems(v raw, allowed []string) (items []string, faults []fault) {
	items = []string{}
	if v.isText() {
		v.items = splitList(v.text)
	}
	for _, it := range v.items {
		item, wrong := stringItem(it, allowed)
		if wrong != "" {
			faults = append(faults, fault{line: it.line, text: wrong})
			continue
		}
		items = append(items, item)
	}
	return items, faults
}

func stringItem(it raw, allowed []string) (item, wrong string) {
	item = strings.TrimSpace(it.text)
	switch {
	case !it.isText() && it.kind != unstable.String:
		return "", "holds " + kindName(it.kind) + "; allowed: an array of strings"
	case item == "":
		return "", "holds an empty item; allowed: an array of strings"
	case len(allowed) == 0:
		return item, ""
	}
	if i := indexFold(allowed, item); i >= 0 {
		return allowed[i], ""
	}
	return "", strconv.Quote(item) + " is not known" + value.Suggest(item, allowed) +
		"; allowed: " + strings.Join(allowed, ", ")
}

// splitList cuts text at commas; empty items vanish.
func splitList(s string) []raw {
	var out []raw
	for _, item := range strings.Split(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, raw{text: item})
		}
	}
	return out
}

// ignored takes a value of another binding's type and forgets it: keys that
// mean something to DataKit only.
func ignored(kind func(func(*Config) *string) binding) binding {
	return kind(func(*Config) *string { return new(string) })
}

func ignoredBool() binding { return boolean(func(*Config) *bool { return new(bool) }) }

func ignoredList() binding { return list(func(*Config) *[]string { return new([]string) }) }
