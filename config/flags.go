package config

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"weft/config/value"
)

// Flags holds what the command line gave. Values are checked by Load, so that
// all wrong ones are reported together.
type Flags struct {
	// ConfigFile is the value of --config.
	ConfigFile string

	settings []setting
}

// Flag is one flag of weft run. It has the methods of pflag.Value, so that the
// command can register it without this package knowing the flag library.
type Flag struct {
	// Name is the flag's name without dashes, Help its line in --help.
	Name, Help string
	// Hidden flags are other spellings of a flag that is shown.
	Hidden bool
	// Bool flags may stand without a value, which means true.
	Bool bool

	flags *Flags
	key   *Key
}

// All returns the flags of weft run but --config: all of the reference's, under
// all of their spellings, and those of the newer keys. What is set through them
// is read by Load.
func (f *Flags) All() []*Flag {
	var out []*Flag
	s := newSchema()
	for i := range s.all {
		k := &s.all[i]
		for n, name := range k.flagNames() {
			out = append(out, &Flag{
				Name: name, Help: k.flagHelp(), Hidden: n > 0, Bool: k.bind.typ == "boolean", flags: f, key: k,
			})
		}
	}
	return out
}

// NormalFlag is the one spelling under which a flag is known: underscores may
// stand for dashes.
func NormalFlag(name string) string { return strings.ReplaceAll(name, "_", "-") }

// SuggestFlag returns ` (did you mean "--x"?)` for a flag that does not exist,
// or "" when none is near.
func SuggestFlag(name string) string {
	return value.Suggest("--"+NormalFlag(name), flagsOf(newSchema()))
}

// flagsOf returns all flags as they are typed.
func flagsOf(s *schema) []string {
	names := sortedNames(s.flag)
	for i := range names {
		names[i] = "--" + names[i]
	}
	return names
}

func (k *Key) flagHelp() string {
	help, _, _ := strings.Cut(k.Help, "\n")
	if k.bind.typ == "list" || k.Name == "limit_action" || k.Name == "log_level" {
		help = strings.TrimRight(help, ":") + " (" + k.bind.allowed + ")"
	}
	return help
}

// set takes the value of one flag. A list given several times grows, anything
// else is replaced.
func (f *Flags) set(k *Key, at place, value string) {
	grows := k.bind.typ == "list" || k.bind.typ == "table"
	for i := range f.settings {
		s := &f.settings[i]
		if s.key.id() != k.id() {
			continue
		}
		if grows {
			value = s.val.text + "," + value
		}
		s.val.text, s.at = value, at
		return
	}
	f.settings = append(f.settings, setting{key: k, val: raw{text: value}, at: at})
}

// Set takes the flag's value unparsed. It never fails: Load checks all values.
func (v *Flag) Set(s string) error {
	v.flags.set(v.key, place{rank: rankFlag, key: "--" + v.Name}, s)
	return nil
}

// String returns the default, which the help shows.
func (v *Flag) String() string {
	if v.key == nil || v.Bool && v.key.Default == "false" {
		return ""
	}
	return v.key.Default
}

// Type returns the word that stands for the value in the help.
func (v *Flag) Type() string {
	if v.Bool {
		return "bool"
	}
	return v.key.bind.typ
}

// readArgs reads the block's args as weft run would read a command line, with
// every problem at the line of its item.
func readArgs(s *schema, items []raw, at place) ([]setting, []Problem) {
	w := argWalker{schema: s, at: at, items: items}
	for len(w.items) > 0 {
		w.next()
	}
	return w.flags.settings, w.problems
}

type argWalker struct {
	schema   *schema
	at       place
	items    []raw
	flags    Flags
	problems []Problem
}

// next consumes one flag with its value.
func (w *argWalker) next() {
	it := w.items[0]
	w.items = w.items[1:]
	if it.kind != unstable.String {
		return // reported with the type of args
	}
	here := w.at
	here.line = it.line
	name, value, hasValue := strings.Cut(strings.TrimPrefix(it.text, "--"), "=")
	if !strings.HasPrefix(it.text, "--") || name == "" {
		w.problem(here, `"`+it.text+`" is not a flag; allowed: flags of weft run`)
		return
	}
	here.key += ": --" + name
	key := w.schema.flag[NormalFlag(name)]
	switch {
	case name == "config":
		w.value(&value, hasValue)
		p := here.problem("has no effect in a file that is read itself")
		p.Warning = true
		w.problems = append(w.problems, p)
	case key == nil:
		w.skipValue(hasValue)
		w.problem(here, "unknown flag"+hint("--"+NormalFlag(name), flagsOf(w.schema), "flags of weft run"))
	case !hasValue && key.bind.typ == "boolean":
		w.flags.set(key, here, "true")
	case !w.value(&value, hasValue):
		w.problem(here, "has no value; allowed: "+key.bind.allowed)
	default:
		w.flags.set(key, here, value)
	}
}

func (w *argWalker) problem(at place, text string) {
	w.problems = append(w.problems, at.problem(text))
}

// value takes the next item as the flag's value when = did not give one.
func (w *argWalker) value(v *string, has bool) bool {
	if has {
		return true
	}
	if len(w.items) == 0 || w.items[0].kind != unstable.String {
		return false
	}
	*v = w.items[0].text
	w.items = w.items[1:]
	return true
}

// skipValue passes over what is likely the value of an unknown flag.
func (w *argWalker) skipValue(has bool) {
	if !has && len(w.items) > 0 && !strings.HasPrefix(w.items[0].text, "-") {
		w.items = w.items[1:]
	}
}
