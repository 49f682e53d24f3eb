package config

import (
	"bytes"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxSyntaxErrors bounds how often a broken file is parsed again.
const maxSyntaxErrors = 50

// raw is a value as its source wrote it, before its key's type is known. The
// kind Invalid means plain text from the environment or a flag.
type raw struct {
	kind  unstable.Kind
	text  string
	line  int
	items []raw
	pairs []entry // of an inline table
}

// entry is one key = value of a TOML file.
type entry struct {
	path []string
	line int
	val  raw
}

// section is a [table] or [[array]] header with the entries below it. The
// first section of a document has no path.
type section struct {
	path    []string
	array   bool
	line    int
	entries []entry
}

// document is a TOML file with the line of everything in it.
type document struct {
	sections []section
	faults   []fault // bad syntax, one for each broken statement
}

// parseDocument reads TOML. After a syntax error it blanks the broken
// statement out and goes on, so that one slip does not hide the next.
func parseDocument(data []byte) document {
	data = bytes.Clone(data)
	doc := document{}
	for range maxSyntaxErrors {
		bad := doc.parse(data)
		if bad == nil {
			break
		}
		doc.faults = append(doc.faults, bad.fault)
		bad.blank(data)
	}
	for _, f := range doc.faults {
		doc.restoreHeader(f)
	}
	return doc
}

// parse fills the document anew and returns the first broken statement.
func (d *document) parse(data []byte) *broken {
	d.sections = []section{{}}
	lines := newLineIndex(data)
	var p unstable.Parser
	p.Reset(data)
	end := 0
	for p.NextExpression() {
		end = max(end, d.add(&p, p.Expression(), lines))
	}
	if p.Error() == nil {
		return nil
	}
	return newBroken(data, lines, end, p.Error())
}

// add takes one expression over and returns the offset at which it ends.
func (d *document) add(p *unstable.Parser, n *unstable.Node, lines lineIndex) int {
	path, first, last := keyPath(n)
	line := lines.at(int(first.Raw.Offset))
	end := int(last.Raw.Offset + last.Raw.Length)
	if n.Kind != unstable.KeyValue {
		d.sections = append(d.sections, section{path: path, array: n.Kind == unstable.ArrayTable, line: line})
		return end
	}
	s := &d.sections[len(d.sections)-1]
	s.entries = append(s.entries, entry{path: path, line: line, val: newRaw(n.Value(), line, lines)})
	return int(n.Raw.Offset + n.Raw.Length)
}

func keyPath(n *unstable.Node) (path []string, first, last *unstable.Node) {
	for it := n.Key(); it.Next(); {
		last = it.Node()
		if first == nil {
			first = last
		}
		path = append(path, string(last.Data))
	}
	return path, first, last
}

func newRaw(n *unstable.Node, line int, lines lineIndex) raw {
	v := raw{kind: n.Kind, text: string(n.Data), line: line}
	if n.Raw.Length > 0 {
		v.line = lines.at(int(n.Raw.Offset))
	}
	if n.Kind != unstable.Array && n.Kind != unstable.InlineTable {
		return v
	}
	for it := n.Children(); it.Next(); {
		c := it.Node()
		if n.Kind == unstable.Array {
			v.items = append(v.items, newRaw(c, v.line, lines))
			continue
		}
		path, first, _ := keyPath(c)
		at := lines.at(int(first.Raw.Offset))
		v.pairs = append(v.pairs, entry{path: path, line: at, val: newRaw(c.Value(), at, lines)})
	}
	return v
}

// lineIndex holds the offset at which each line begins.
type lineIndex []int

func newLineIndex(data []byte) lineIndex {
	idx := lineIndex{0}
	for i, c := range data {
		if c == '\n' {
			idx = append(idx, i+1)
		}
	}
	return idx
}

// at returns the line, from 1, of an offset.
func (l lineIndex) at(off int) int {
	return sort.SearchInts(l, off+1)
}

// nextStatement returns the offset of the first line, from the given one on,
// that looks like the begin of a statement, or the end of the data.
func (l lineIndex) nextStatement(data []byte, line int) int {
	for ; line <= len(l); line++ {
		if isStatement(data[l[line-1]:]) {
			return l[line-1]
		}
	}
	return len(data)
}
