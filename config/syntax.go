package config

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// What a statement begins with: the whole of it, and its key or table name.
var (
	statementBegin = regexp.MustCompile(`^[ \t]*([A-Za-z0-9_.-]+[ \t]*=|\[\[?[A-Za-z])`)
	nameBegin      = regexp.MustCompile(`^[A-Za-z0-9_."'-]+|^\[+[^\]\n=]*\]*`)
)

// broken is a statement with a syntax error.
type broken struct {
	fault    fault
	from, to int // the bytes to blank out
}

func newBroken(data []byte, lines lineIndex, after int, err error) *broken {
	at := after
	var perr *unstable.ParserError
	if errors.As(err, &perr) {
		if off := cap(data) - cap(perr.Highlight); len(perr.Highlight) > 0 && off >= 0 && off < len(data) {
			at = off
		}
	}
	from := min(statementStart(data, after), at)
	line, start := lines.at(at), lines.at(from)
	b := &broken{fault: fault{line: line, key: statementKey(data[from:])}, from: from}
	b.fault.text = "bad TOML: " + err.Error() + allowedStatement(b.fault.key)
	b.to = lines.nextStatement(data, line+1)
	if line > start && (isStatement(data[lines[line-1]:]) || len(bytes.TrimSpace(data[at+1:])) == 0) {
		// The parser notices a missing bracket or quote only at the next
		// statement or the end: blame the line that opened it.
		b.fault.line = start
		b.fault.text = "bad TOML: a bracket or quote is opened here and not closed" + allowedStatement(b.fault.key)
		b.to = lines.nextStatement(data, line)
	}
	return b
}

// blank overwrites the statement, so that offsets and lines stay as they are.
func (b *broken) blank(data []byte) {
	for i := b.from; i < b.to; i++ {
		if data[i] != '\n' {
			data[i] = ' '
		}
	}
}

// statementStart skips the rest of a line that holds only a comment, empty
// lines and whole-line comments from the offset on.
func statementStart(data []byte, off int) int {
	for off < len(data) {
		switch data[off] {
		case ' ', '\t', '\r', '\n', ']':
			off++
		case '#':
			eol := bytes.IndexByte(data[off:], '\n')
			if eol < 0 {
				return len(data)
			}
			off += eol
		default:
			return off
		}
	}
	return off
}

// statementKey returns the key or table name that a broken statement begins with.
func statementKey(b []byte) string {
	if m := nameBegin.Find(b); len(m) > 0 && len(m) <= 64 {
		return string(bytes.TrimSpace(m))
	}
	return "syntax"
}

func allowedStatement(key string) string {
	if strings.HasPrefix(key, "[") {
		return "; allowed: [[inputs.ebpf]] or [inputs.ebpf.tags]"
	}
	return `; allowed: key = "text", 1, true or ["a", "b"]`
}

// semanticFaults lets the full decoder look for what the positions parser does
// not check, such as a table defined twice.
func semanticFaults(data []byte) []fault {
	err := toml.Unmarshal(data, &map[string]any{})
	if err == nil {
		return nil
	}
	var derr *toml.DecodeError
	if !errors.As(err, &derr) {
		return []fault{{line: 1, key: "syntax", text: "bad TOML: " + err.Error()}}
	}
	line, _ := derr.Position()
	key := "syntax"
	if k := derr.Key(); len(k) > 0 {
		key = k[len(k)-1]
	}
	return []fault{{line: line, key: key, text: "bad TOML: " + derr.Error()}}
}

// restoreHeader puts the section of a broken header back, so that the keys
// below it are not taken for those of the section before.
func (d *document) restoreHeader(f fault) {
	name := strings.Trim(f.key, "[]. \t")
	if !strings.HasPrefix(f.key, "[") || name == "" {
		return
	}
	lost := section{path: strings.Split(name, "."), line: f.line}
	i := 0 // the section that the keys went to
	for i+1 < len(d.sections) && d.sections[i+1].line <= f.line {
		i++
	}
	own := d.sections[i].entries
	n := sort.Search(len(own), func(n int) bool { return own[n].line > f.line })
	lost.entries = own[n:]
	d.sections[i].entries = own[:n]
	d.sections = slices.Insert(d.sections, i+1, lost)
}

// isStatement tells whether text looks like a header or a key = value.
func isStatement(b []byte) bool {
	return statementBegin.Match(b)
}
