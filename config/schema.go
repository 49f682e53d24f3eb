package config

import (
	"slices"
	"strings"
)

// block says which block of ebpf.conf a key belongs to.
type block string

const (
	blockEBPF   block = "ebpf"
	blockLinker block = "ebpftrace"
)

// Key describes one configuration key, once, for every way to set it.
type Key struct {
	// Name is the TOML key; Block the block it stands in.
	Name  string
	Block block
	// Env holds the variables beside the derived one (see envNames), oldest
	// last; a variable in front wins over those behind it.
	Env []string
	// Flags holds the reference's flag names, which are the ones shown; the
	// name derived from the key works as well.
	Flags []string
	// Child holds the key's path in the TOML form of the reference's --config.
	Child []string
	// FileOnly keys have neither a variable nor a flag.
	FileOnly bool
	// Default is the default as text, as a variable would carry it; Auto
	// describes a default that is worked out at start.
	Default, Auto string
	// Example is the TOML value in the sample, where the default says little.
	Example string
	// Shown keys are not commented out in the sample.
	Shown bool
	// Or marks an alternative to the key before it: not both.
	Or bool
	// Help says what the key does, as one or more lines of text.
	Help string
	// Note is the warning that using the key gives.
	Note string

	bind binding
}

// keys returns the table of all keys, in the order of the sample. It is built
// afresh so that no package variable can be changed.
func keys() []Key {
	var all []Key
	for _, group := range [][]Key{
		processKeys(), limitKeys(), k8sKeys(), pluginKeys(), flowKeys(), l7Keys(), execKeys(), netlogKeys(),
		traceKeys(), outputKeys(),
	} {
		for _, k := range group {
			k.Block = blockEBPF
			all = append(all, k)
		}
	}
	for _, k := range linkerKeys() {
		k.Block = blockLinker
		all = append(all, k)
	}
	return all
}

// envNames returns the variables that set the key, the preferred one first.
func (k *Key) envNames() []string {
	if k.FileOnly {
		return nil
	}
	prefix := "ENV_INPUT_EBPF_"
	if k.Block == blockLinker {
		prefix = "ENV_INPUT_EBPFTRACE_"
	}
	return append([]string{prefix + strings.ToUpper(k.Name)}, k.Env...)
}

// flagNames returns the flags that set the key, the preferred one first.
func (k *Key) flagNames() []string {
	if k.FileOnly || k.Block == blockLinker {
		return nil
	}
	names := append([]string(nil), k.Flags...)
	own := strings.ReplaceAll(k.Name, "_", "-")
	for _, n := range names {
		if n == own {
			return names
		}
	}
	return append(names, own)
}

// id names the key among all blocks.
func (k *Key) id() string { return string(k.Block) + "." + k.Name }

// schema finds keys by each of their names.
type schema struct {
	all   []Key
	byID  map[string]*Key
	env   map[string]*Key
	flag  map[string]*Key
	child map[string]*Key
}

func newSchema() *schema {
	s := &schema{
		all: keys(), byID: map[string]*Key{}, env: map[string]*Key{},
		flag: map[string]*Key{}, child: map[string]*Key{},
	}
	for i := range s.all {
		k := &s.all[i]
		s.byID[k.id()] = k
		for _, n := range k.envNames() {
			s.env[n] = k
		}
		for _, n := range k.flagNames() {
			s.flag[n] = k
		}
		for _, n := range k.Child {
			s.child[n] = k
		}
	}
	return s
}

// names returns the TOML keys of a block, for suggestions.
func (s *schema) names(b block) []string {
	var out []string
	for i := range s.all {
		if s.all[i].Block == b {
			out = append(out, s.all[i].Name)
		}
	}
	return out
}

func sortedNames(m map[string]*Key) []string {
	out := make([]string, 0, len(m))
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Default returns the configuration that Load starts from.
func Default() *Config {
	c := &Config{Tags: map[string]string{}}
	for _, k := range keys() {
		if k.Default == "" {
			continue
		}
		if faults := k.bind.set(c, raw{text: k.Default}); faults != nil {
			// The table is held by a test; a wrong default cannot be shipped.
			panic("config: default of " + k.Name + ": " + faults[0].text)
		}
	}
	return c
}
