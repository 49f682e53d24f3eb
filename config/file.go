package config

import (
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"weft/config/value"
)

// setting is one value for one key, from one place.
type setting struct {
	key *Key
	val raw
	at  place
}

// fileReader turns a TOML document into settings. It reads both forms: blocks
// below inputs, and the flat form of the reference's --config.
type fileReader struct {
	schema   *schema
	file     string
	settings []setting
	problems []Problem
	environ  []string // of envs, what is no key's

	seen   map[string]int // path → line of the first time
	tables map[string]int // key id → index in settings
	blocks map[block]int  // line of the first block
}

// readFile returns the settings of a file with everything wrong in it.
func readFile(s *schema, file string, data []byte) *fileReader {
	r := &fileReader{
		schema: s, file: file,
		seen: map[string]int{}, tables: map[string]int{}, blocks: map[block]int{},
	}
	doc := parseDocument(data)
	r.syntax(doc.faults)
	if doc.hasInputs() {
		r.readInputs(doc)
	} else {
		r.readChild(doc)
	}
	if len(r.problems) == 0 {
		r.syntax(semanticFaults(data))
	}
	return r
}

// hasInputs tells the two forms apart.
func (d *document) hasInputs() bool {
	for _, s := range d.sections {
		if len(s.path) > 0 && s.path[0] == "inputs" {
			return true
		}
	}
	return false
}

func (r *fileReader) syntax(faults []fault) {
	for _, f := range faults {
		r.problem(f.line, f.key, f.text)
	}
}

func (r *fileReader) problem(line int, key, text string) {
	if key == "" {
		key = `""` // TOML knows the empty key
	}
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Key: key, Text: text})
}

// readInputs reads [[inputs.ebpf]] and [[inputs.ebpftrace]].
func (r *fileReader) readInputs(doc document) {
	for _, s := range doc.sections {
		b, prefix, ok := r.header(s)
		if !ok {
			continue
		}
		for _, e := range s.entries {
			r.put(b, append(prefix[:len(prefix):len(prefix)], e.path...), e.line, e.val)
		}
	}
}

// header checks a section's header and returns what its keys begin with.
func (r *fileReader) header(s section) (b block, prefix []string, ok bool) {
	if len(s.path) == 0 {
		for _, e := range s.entries {
			r.problem(e.line, strings.Join(e.path, "."), "stands outside of a block; allowed: keys below [[inputs.ebpf]]")
		}
		return "", nil, false
	}
	name := strings.Join(s.path, ".")
	if s.path[0] != "inputs" || len(s.path) < 2 {
		r.problem(s.line, name, "unknown table"+value.Suggest(name, tableNames())+
			"; allowed: "+strings.Join(tableNames(), ", "))
		return "", nil, false
	}
	b = block(s.path[1])
	if b != blockEBPF && b != blockLinker {
		r.problem(s.line, name, "unknown block"+value.Suggest(name, tableNames())+
			"; allowed: "+strings.Join(tableNames(), ", "))
		return "", nil, false
	}
	prefix = s.path[2:]
	if len(prefix) == 0 {
		r.openBlock(b, s.line)
		return b, nil, true
	}
	return b, prefix, r.subTable(b, prefix, s.line)
}

// subTable checks a header below a block: of all keys, only tags is a table.
func (r *fileReader) subTable(b block, path []string, line int) bool {
	key, _ := r.lookup(b, path)
	switch {
	case key == nil:
		r.unknown(b, path, line)
	case key.bind.typ != "table":
		r.problem(line, path[0], "is a table; allowed: "+key.bind.allowed)
	default:
		return r.once(string(b), path, line)
	}
	return false
}

func tableNames() []string { return []string{"inputs.ebpf", "inputs.ebpf.tags", "inputs.ebpftrace"} }

// openBlock notes a block. The collector is one process, so there is one of each.
func (r *fileReader) openBlock(b block, line int) {
	if first, twice := r.blocks[b]; twice {
		r.problem(line, "inputs."+string(b), "is given twice, first on line "+strconv.Itoa(first)+"; allowed: one block")
		// Its keys are checked on their own, not against the first block's.
		for k := range r.seen {
			if strings.HasPrefix(k, string(b)+"\x00") {
				delete(r.seen, k)
			}
		}
		return
	}
	r.blocks[b] = line
}

// readChild reads the flat form: every key has a path such as ebpf_net.ephemeral_port.
func (r *fileReader) readChild(doc document) {
	for _, s := range doc.sections {
		if len(s.path) > 0 && !r.childTable(s.path[0]) {
			r.unknown("", s.path, s.line)
			continue
		}
		for _, e := range s.entries {
			r.put("", append(s.path[:len(s.path):len(s.path)], e.path...), e.line, e.val)
		}
	}
}

func (r *fileReader) childTable(name string) bool {
	for path := range r.schema.child {
		if path == name || strings.HasPrefix(path, name+".") {
			return true
		}
	}
	return false
}

// once reports a path that was given before.
func (r *fileReader) once(scope string, path []string, line int) bool {
	id := scope + "\x00" + strings.Join(path, "\x00")
	if first, twice := r.seen[id]; twice {
		r.problem(line, strings.Join(path, "."), "is given twice, first on line "+strconv.Itoa(first)+"; allowed: once")
		return false
	}
	r.seen[id] = line
	return true
}

// put takes one key = value over, whose path is relative to the block.
func (r *fileReader) put(b block, path []string, line int, val raw) {
	key, rest := r.lookup(b, path)
	if key == nil {
		r.unknown(b, path, line)
		return
	}
	if key.bind.typ == "table" {
		r.putTable(b, key, path, rest, line, val)
		return
	}
	if len(rest) > 0 {
		r.problem(line, strings.Join(path[:len(path)-len(rest)], "."), "is a table; allowed: "+key.bind.allowed)
		return
	}
	if !r.once(string(b), path, line) {
		return
	}
	at := place{rank: rankFile, file: r.file, line: line, key: strings.Join(path, ".")}
	r.settings = append(r.settings, setting{key: key, val: val, at: at})
	if b == blockEBPF && val.kind == unstable.Array {
		r.started(key.Name, val, at)
	}
}

// started applies args and envs, as if DataKit had started the collector with them.
func (r *fileReader) started(name string, val raw, at place) {
	switch name {
	case "args":
		at.rank = rankBlockArg
		settings, problems := readArgs(r.schema, val.items, at)
		r.settings = append(r.settings, settings...)
		r.problems = append(r.problems, problems...)
	case "envs":
		at.rank = rankBlockEnv
		settings, others, problems := readBlockEnv(r.schema, val.items, at)
		r.environ = append(r.environ, others...)
		r.settings = append(r.settings, settings...)
		r.problems = append(r.problems, problems...)
	}
}

// putTable adds one tag, or each of an inline table, to the setting of the table.
func (r *fileReader) putTable(b block, key *Key, path, rest []string, line int, val raw) {
	if len(rest) == 0 && val.kind == unstable.InlineTable {
		for _, p := range val.pairs {
			r.put(b, append(path[:len(path):len(path)], p.path...), p.line, p.val)
		}
		return
	}
	if !r.once(string(b), path, line) {
		return
	}
	if len(rest) == 0 {
		at := place{rank: rankFile, file: r.file, line: line, key: key.Name}
		r.settings = append(r.settings, setting{key: key, val: val, at: at})
		return
	}
	i, ok := r.tables[key.id()]
	if !ok {
		i = len(r.settings)
		r.tables[key.id()] = i
		at := place{rank: rankFile, file: r.file, line: line, key: key.Name}
		r.settings = append(r.settings, setting{key: key, val: raw{kind: unstable.InlineTable, line: line}, at: at})
	}
	r.settings[i].val.pairs = append(r.settings[i].val.pairs, entry{path: rest, line: line, val: val})
}

// lookup finds the key of a path and what of the path lies below it.
func (r *fileReader) lookup(b block, path []string) (key *Key, rest []string) {
	if b != "" {
		return r.schema.byID[string(b)+"."+path[0]], path[1:]
	}
	for n := 1; n <= min(2, len(path)); n++ {
		if k := r.schema.child[strings.Join(path[:n], ".")]; k != nil {
			return k, path[n:]
		}
	}
	return nil, nil
}

func (r *fileReader) unknown(b block, path []string, line int) {
	name := strings.Join(path, ".")
	if b != "" {
		r.problem(line, name, "unknown key"+hint(path[0], r.schema.names(b), "the keys of weft config sample"))
		return
	}
	if path[0] == "input" {
		r.problem(line, name, `unknown table (did you mean "inputs"?)`)
		return
	}
	if r.schema.byID[string(blockEBPF)+"."+path[0]] != nil {
		r.problem(line, name, "stands outside of a block; allowed: below [[inputs.ebpf]]")
		return
	}
	known := sortedNames(r.schema.child)
	for _, path := range known {
		if table, _, ok := strings.Cut(path, "."); ok {
			known = append(known, table)
		}
	}
	r.problem(line, name, "unknown key"+hint(name, known, "keys below [[inputs.ebpf]]"))
}

// hint is a suggestion, or what is allowed when nothing is near.
func hint(name string, known []string, allowed string) string {
	if s := value.Suggest(name, known); s != "" {
		return s
	}
	return "; allowed: " + allowed
}
