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

// powerOfTwo takes a power of two from lo to hi.
func powerOfTwo(at func(*Config) *int, lo, hi int64) binding {
	b := binding{typ: "integer", kinds: []unstable.Kind{unstable.Integer}}
	b.allowed = "a power of two from " + strconv.FormatInt(lo, 10) + " to " + strconv.FormatInt(hi, 10)
	return scalar(b, at, func(s string) (int, string) {
		n, wrong := value.Integer(s, lo, hi)
		if wrong == "" && n&(n-1) != 0 {
			wrong = "is not a power of two"
		}
		return n, wrong
	})
}

// within takes a Go duration from lo to hi.
func within(at func(*Config) *time.Duration, lo, hi time.Duration, example string) binding {
	b := binding{typ: "duration", kinds: textKinds(), emptyUnset: true}
	b.allowed = "a duration from " + lo.String() + " to " + hi.String() + ", such as \"" + example + "\""
	return scalar(b, at, func(s string) (time.Duration, string) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, "is not a duration"
		}
		if d < lo || d > hi {
			return 0, "is out of range"
		}
		return d, ""
	})
}

// ports takes a list of up to most different ports, at least one.
func ports(at func(*Config) *[]int, most int) binding {
	b := binding{typ: "list", kinds: listKinds()}
	b.allowed = "1 to " + strconv.Itoa(most) + " ports from 1 to 65535, each once"
	b.parse = func(c *Config, v raw) (faults []fault) {
		if v.isText() {
			v.items = splitList(v.text)
		}
		if len(v.items) == 0 || len(v.items) > most {
			return faultf("holds %d ports; allowed: %s", len(v.items), b.allowed)
		}
		var list []int
		for _, it := range v.items {
			n, wrong := value.Integer(strings.TrimSpace(it.text), 1, 65535)
			if wrong == "" && slices.Contains(list, n) {
				wrong = "is given twice"
			}
			if wrong != "" {
				faults = append(faults, fault{line: it.line, text: it.quoted() + " " + wrong + "; allowed: " + b.allowed})
			}
			list = append(list, n)
		}
		if faults == nil {
			*at(c) = list
		}
		return faults
	}
	return b
}

// ruleKinds are what a rule that selects processes may look at.
func ruleKinds() []string { return []string{"name", "env", "path", "container", "uid", "cgroup"} }

// rules takes a list of rules that select processes.
func rules(at func(*Config) *[]string) binding {
	return checked(at, "a list of rules kind:pattern; kinds: "+strings.Join(ruleKinds(), ", "), parseRule)
}

// checked takes a list of items that check may rewrite, or find wrong.
func checked(at func(*Config) *[]string, allowed string, check func(string) (item, wrong string)) binding {
	b := binding{typ: "list", kinds: listKinds(), allowed: allowed}
	b.parse = func(c *Config, v raw) (faults []fault) {
		if v.isText() {
			v.items = splitList(v.text)
		}
		list := []string{}
		for _, it := range v.items {
			item, wrong := stringItem(it, nil)
			if wrong == "" {
				item, wrong = check(item)
			}
			if wrong != "" {
				faults = append(faults, fault{line: it.line, text: wrong})
			}
			list = append(list, item)
		}
		if faults == nil {
			*at(c) = list
		}
		return faults
	}
	return b
}

// parseRule checks a rule and writes its kind in lower case.
func parseRule(s string) (rule, wrong string) {
	kind, pattern, ok := strings.Cut(s, ":")
	kind, pattern = strings.ToLower(strings.TrimSpace(kind)), strings.TrimSpace(pattern)
	allowed := strings.Join(ruleKinds(), ":…, ") + ":…"
	switch {
	case !ok:
		wrong = "is not a rule"
	case !slices.Contains(ruleKinds(), kind):
		wrong = "is a rule of an unknown kind" + value.Suggest(kind, ruleKinds())
	default:
		wrong, allowed = wrongPattern(kind, pattern)
	}
	if wrong != "" {
		return "", strconv.Quote(s) + " " + wrong + "; allowed: " + allowed
	}
	return kind + ":" + pattern, ""
}

// wrongPattern finds patterns that nothing could match.
func wrongPattern(kind, pattern string) (wrong, allowed string) {
	switch uid, err := strconv.ParseUint(pattern, 10, 32); {
	case pattern == "":
		return "has no pattern", kind + ":…"
	case kind == "uid" && (err != nil || uid == math.MaxUint32): // -1 is no user
		return "is not about a uid", "uid:0 to uid:4294967294"
	case kind == "env" && pattern[0] == '=':
		return "has no name of a variable", "env:KEY or env:KEY=value"
	case (kind == "path" || kind == "cgroup") && !strings.ContainsRune("/*?", rune(pattern[0])):
		return "has a relative path", kind + ":/… or " + kind + ":*…"
	}
	return "", ""
}
