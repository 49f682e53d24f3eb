package config

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing wrong with the configuration and where it was read.
type Problem struct {
	// File and Line say where; an empty File means the environment or a flag,
	// which Key then names.
	File string
	Line int
	// Key is the TOML key, the variable or the flag.
	Key string
	// Text says what is wrong and what is allowed.
	Text string
	// Warning marks a remark that does not keep the collector from starting.
	Warning bool
}

// String returns "file:line: key: text", or "key: text" without a file.
func (p Problem) String() string {
	text := p.Text
	if p.Warning {
		text = "warning: " + text
	}
	if p.File == "" {
		return p.Key + ": " + text
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, text)
}

// Problems is the error that Load returns: everything wrong, in file order.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the problems of the file in front, by line; the rest keeps its order.
func sorted(in []Problem) []Problem {
	sort.SliceStable(in, func(i, j int) bool {
		a, b := in[i], in[j]
		if (a.File == "") != (b.File == "") {
			return a.File != ""
		}
		return a.File != "" && a.Line < b.Line
	})
	return in
}

// fault is a problem with a value, before its place is known. line and key
// refine the place: an item of an array, a tag.
type fault struct {
	line int
	key  string
	text string
}

func faultf(format string, args ...any) []fault {
	return []fault{{text: fmt.Sprintf(format, args...)}}
}

// place is where a value was given.
type place struct {
	rank rank
	file string
	line int
	key  string
}

// rank orders the sources of a value; the higher one wins.
type rank int

const (
	rankDefault rank = iota
	rankFile
	rankBlockEnv // the block's envs
	rankEnv
	rankBlockArg // the block's args
	rankFlag
)

func (p place) problem(text string) Problem {
	return Problem{File: p.file, Line: p.line, Key: p.key, Text: text}
}

func (p place) fault(f fault) Problem {
	out := p.problem(f.text)
	if f.line > 0 {
		out.Line = f.line
	}
	if f.key != "" {
		out.Key += "." + f.key
	}
	return out
}

// short names the place inside a message about another place.
func (p place) short() string {
	if p.file == "" {
		return p.key
	}
	return fmt.Sprintf("%s on line %d", p.key, p.line)
}
