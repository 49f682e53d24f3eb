package selection

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules are two lists that apply together.
type Rules struct{ allow, deny []rule }

// rule judges a process by one fact.
type rule func(*facts) verdict

// verdict is what a rule says. It is ordered: the highest of a list counts.
type verdict uint8

const (
	no    verdict = iota
	maybe         // the fact is missing
	yes
)

var errKind = errors.New("want name:, path:, env:, container:, uid: or cgroup: and a value")

// Parse reads rules; it reports all that it cannot read. They are:
//
//	name:nginx*             the process's name, its executable's or argv[0]'s last part
//	path:/usr/bin/*         the executable, as the process's own root shows it
//	env:KEY                 the variable is in the environment it was started with
//	env:KEY=glob            with a value that matches
//	container:4f66          the beginning of a container's id, or a glob for it
//	container:web*          a glob for the name, where the cgroup has it: nspawn, LXC
//	uid:1000                the effective user
//	cgroup:/system.slice/*  a path in any hierarchy, as the collector's own cgroup shows it
//
// In globs * stands for any characters, / too, and ? for one. Upper and lower
// case differ.
func Parse(allow, deny []string) (Rules, error) {
	var (
		r    Rules
		errs []error
	)
	read := func(list string, texts []string) (rules []rule) {
		for _, text := range texts {
			one, err := parse(strings.TrimSpace(text))
			if err != nil {
				errs = append(errs, fmt.Errorf("read %s rule %q: %w", list, text, err))
			}
			rules = append(rules, one)
		}
		return rules
	}
	r.allow, r.deny = read("allow", allow), read("deny", deny)
	if err := errors.Join(errs...); err != nil {
		return Rules{}, err
	}
	return r, nil
}

func parse(text string) (rule, error) {
	kind, value, _ := strings.Cut(text, ":")
	if value == "" {
		return nil, errKind
	}
	switch kind {
	case "name":
		return nameRule(value), nil
	case "path":
		return pathRule(value), nil
	case "env":
		return envRule(value)
	case "container":
		return containerRule(value), nil
	case "uid":
		return uidRule(value)
	case "cgroup":
		return cgroupRule(value), nil
	}
	return nil, errKind
}

func (r *Rules) empty() bool { return len(r.allow) == 0 && len(r.deny) == 0 }

// judge tells whether the process is wanted, and whether the answer could be
// another one if more were known.
func (r *Rules) judge(f *facts) (wanted, unsure bool) {
	deny := highest(r.deny, f)
	if deny == yes {
		return false, false
	}
	allow := yes
	if len(r.allow) > 0 {
		allow = highest(r.allow, f)
	}
	return allow == yes, allow == maybe || deny == maybe && allow == yes
}

func highest(rules []rule, f *facts) verdict {
	top := no
	for _, r := range rules {
		if top = max(top, r(f)); top == yes {
			break
		}
	}
	return top
}

func verdictOf(match, known bool) verdict {
	switch {
	case match:
		return yes
	case known:
		return no
	}
	return maybe
}

func nameRule(glob string) rule {
	return func(f *facts) verdict {
		names, complete := f.names()
		// Of a process that is gone the comm says all, unless it is cut.
		known := complete || len(f.comm) < commLen || !mayBegin(glob, f.comm)
		return verdictOf(slices.ContainsFunc(names, func(n string) bool { return match(glob, n) }), known)
	}
}

func pathRule(glob string) rule {
	return func(f *facts) verdict {
		exe, known := f.exe()
		return verdictOf(known && match(glob, exe), known)
	}
}

func envRule(value string) (rule, error) {
	key, glob, valued := strings.Cut(value, "=")
	if key == "" {
		return nil, errors.New("want a variable's name before =")
	}
	if !valued {
		glob = "*"
	}
	return func(f *facts) verdict {
		vars, complete := f.environ()
		return verdictOf(slices.ContainsFunc(vars, func(v string) bool {
			name, have, ok := strings.Cut(v, "=")
			return ok && name == key && match(glob, have)
		}), complete)
	}, nil
}

func containerRule(glob string) rule {
	return func(f *facts) verdict {
		paths, known := f.cgroups()
		return verdictOf(slices.ContainsFunc(paths, func(p string) bool {
			c := containerOf(p)
			return c.id != "" && (strings.HasPrefix(c.id, glob) || match(glob, c.id)) ||
				c.name != "" && match(glob, c.name)
		}), known)
	}
}

func uidRule(value string) (rule, error) {
	uid, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return nil, errors.New("want a user's number")
	}
	return func(f *facts) verdict {
		have, known := f.uid()
		return verdictOf(known && have == uid, known)
	}, nil
}

func cgroupRule(glob string) rule {
	return func(f *facts) verdict {
		paths, known := f.cgroups()
		return verdictOf(slices.ContainsFunc(paths, func(p string) bool { return match(glob, p) }), known)
	}
}
