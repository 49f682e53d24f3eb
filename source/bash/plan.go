package bash

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"strings"

	"weft/probe/executable"
	"weft/probe/uprobe"
)

// plan is what was found in a file, and where its probes go.
type plan struct {
	// shell: it is a bash, whose lines are commands.
	shell  bool
	points []uprobe.Point
	info   bpfFileInfo
	// library: readline is in one of the libraries that it is linked to.
	library bool
	// why its lines cannot be had, or not all; "" when they can.
	why string
}

// Names of bash. The function is called with each line that is about to be
// executed while the history is on; the variables tell how many lines the
// command at hand has, and whether a builtin (read -e) asks for the line.
const (
	readline  = "readline"
	executed  = "maybe_add_history"
	lineCount = "current_command_line_count"
	inBuiltin = "executing_builtin"
)

// inspect looks into a program or library. A file that is no ELF file has an
// empty plan.
func inspect(path, name string) plan {
	m, err := executable.Open(path)
	if err != nil {
		return plan{}
	}
	defer m.Close()
	for _, table := range []elf.SectionType{elf.SHT_DYNSYM, elf.SHT_SYMTAB} {
		found, err := m.Symbols(table, []string{readline, executed})
		if err != nil {
			continue
		}
		if p := planOf(m, table, found, name); p.shell || len(p.points) > 0 {
			return p
		}
	}
	p := plan{shell: isBash(name)}
	switch p.library = needsReadline(m); {
	case p.shell && p.library:
		p.info = bpfFileInfo{Shell: 1, Tell: 1}
	case p.shell && len(m.Needs()) == 0 && m.GoVersion() == "":
		p.why = "linked statically, and its symbols were stripped"
	}
	return p
}

func planOf(m *executable.Image, table elf.SectionType, found map[string]executable.Function, name string) plan {
	_, adds := found[executed]
	line, reads := found[readline]
	p := plan{shell: adds || isBash(name) && reads}
	if p.library = !reads && needsReadline(m); p.library && adds {
		p.info.Tell = 1
	}
	if reads {
		p.readline(m, line)
	}
	if f, ok := found[executed]; ok {
		if off, ok := m.Offset(f.Addr); ok {
			p.points = append(p.points, uprobe.Point{Program: "history_entry", Offsets: []uint64{off}})
		}
	}
	if !p.shell {
		return p
	}
	p.info.Shell = 1
	if vars, err := m.Variables(table, []string{lineCount, inBuiltin}); err == nil {
		from := m.CodeStart()
		for name, to := range map[string]*int64{lineCount: &p.info.LineCount, inBuiltin: &p.info.InBuiltin} {
			if v, ok := vars[name]; ok {
				*to = int64(v.Addr - from)
			}
		}
	}
	return p
}

// readline places the probes at entry and returns.
func (p *plan) readline(m *executable.Image, f executable.Function) {
	entry, ok := m.Offset(f.Addr)
	rets, err := m.Returns(f)
	if err != nil || !ok {
		p.why = fmt.Sprintf("the returns of readline are not found (%v): only what the history takes is seen", err)
		return
	}
	offsets := make([]uint64, 0, len(rets))
	for _, addr := range rets {
		if off, ok := m.Offset(addr); ok {
			offsets = append(offsets, off)
		}
	}
	p.points = []uprobe.Point{
		{Program: "readline_return", Offsets: offsets}, {Program: "readline_entry", Offsets: []uint64{entry}},
	}
}

func needsReadline(m *executable.Image) bool {
	for _, lib := range m.Needs() {
		if strings.HasPrefix(lib, "libreadline.so") {
			return true
		}
	}
	return false
}

// isBash goes by the name of the program's file.
func isBash(path string) bool {
	base := filepath.Base(path)
	return base == "bash" || strings.HasPrefix(base, "bash-") || base == "rbash"
}
