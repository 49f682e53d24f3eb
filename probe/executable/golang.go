package executable

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Go's table of functions, .gopclntab, is in every Go program: it is what the
// runtime itself unwinds with, so stripping leaves it. Its layout changed with
// 1.18 and 1.20 (src/internal/abi/symtab.go, src/debug/gosym/pclntab.go).
const (
	magic116 = 0xfffffffa
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1
)

// GoVersion is the version that built the program, e.g. "go1.22.1"; "" when it
// is not a Go program.
func (m *Image) GoVersion() (version string) {
	if m.elf.Section(".go.buildinfo") == nil {
		return ""
	}
	defer func() {
		if recover() != nil { // a malformed file
			version = ""
		}
	}()
	info, err := buildinfo.Read(m.file)
	if err != nil {
		return ""
	}
	return info.GoVersion
}

// GoMinor is the N of "go1.N…"; development versions count as new.
func GoMinor(version string) int {
	rest, ok := strings.CutPrefix(version, "go1.")
	if !ok {
		return 1000
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	n, err := strconv.Atoi(rest[:digits])
	if err != nil {
		return 1000
	}
	return n
}

// pclntab is the table of functions of a Go program.
type pclntab struct {
	w, f  *window // two, since it is read at two places in turn
	addr  uint64  // of the table
	magic uint32
	n     int64  // functions
	text  uint64 // the functions' entries count from here
	names int64  // offset of the names
	funcs int64  // offset of the functions
}

// GoFunctions finds functions by their full name, e.g. crypto/tls.(*Conn).Read.
func (m *Image) GoFunctions(names []string) (map[string]Function, error) {
	t, err := m.openPclntab()
	if err != nil {
		return nil, err
	}
	at, err := t.findNames(names)
	if err != nil {
		return nil, fmt.Errorf("read Go's names: %w", err)
	}
	found := map[string]Function{}
	for i := int64(0); i < t.n && len(found) < len(at); i++ {
		entry, name, err := t.function(i)
		if err != nil {
			return nil, fmt.Errorf("read Go's functions: %w", err)
		}
		if s, ok := at[name]; ok {
			end, err := t.entry(i + 1)
			if err != nil || end <= entry {
				return nil, errors.New("read Go's functions: one has no end")
			}
			found[s] = Function{t.text + entry, end - entry}
		}
	}
	return found, nil
}

func (m *Image) openPclntab() (*pclntab, error) {
	t := &pclntab{}
	for _, s := range m.elf.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_EXECINSTR != 0 {
			continue
		}
		w := window{r: m.file, base: int64(s.Offset), size: int64(s.FileSize)}
		at := int64(-1)
		if strings.HasSuffix(s.Name, ".gopclntab") {
			at = 0
		} else if s.Name == ".data.rel.ro" { // a foreign linker has put it among other data
			at = findPclntab(&w)
		}
		if at < 0 {
			continue
		}
		t.w = &window{r: m.file, base: w.base + at, size: w.size - at}
		t.f = &window{r: m.file, base: w.base + at, size: w.size - at}
		t.addr = s.Addr + uint64(at)
		break
	}
	if t.w == nil {
		return nil, errors.New("no Go function table (.gopclntab)")
	}
	return t, t.readHeader(m)
}

// findPclntab looks for the table's header in a section: -1 for none.
func findPclntab(w *window) int64 {
	const block = 256 << 10
	for from := int64(0); from < w.size; from += block {
		b, err := w.bytes(from, min(block+8, int(w.size-from)))
		if err != nil {
			return -1
		}
		for _, magic := range []uint32{magic120, magic118, magic116} {
			// The magic, two zeros, the instruction quantum, the pointer size.
			for _, quantum := range []byte{1, 4} {
				head := append(binary.LittleEndian.AppendUint32(nil, magic), 0, 0, quantum, 8)
				if i := bytes.Index(b, head); i >= 0 {
					return from + int64(i)
				}
			}
		}
	}
	return -1
}

func (t *pclntab) readHeader(m *Image) error {
	head, err := t.w.bytes(0, 8)
	if err != nil || head[4] != 0 || head[5] != 0 || head[7] != 8 {
		return errors.New("the function table of Go has an unknown head")
	}
	t.magic = binary.LittleEndian.Uint32(head)
	word := func(i int64) int64 {
		v, e := t.w.u64(8 + 8*i)
		err = errors.Join(err, e)
		return int64(v)
	}
	t.n = word(0)
	switch t.magic {
	case magic116:
		t.names, t.funcs = word(2), word(6)
	case magic118, magic120:
		t.names, t.funcs = word(3), word(7)
		if err == nil {
			t.text, err = m.goText(t.addr)
		}
	default:
		return fmt.Errorf("the function table of Go has the unknown magic %#x", t.magic)
	}
	if err != nil {
		return fmt.Errorf("read the head of Go's function table: %w", err)
	}
	if t.n <= 0 || t.n > 1<<24 || t.names <= 0 || t.names >= t.w.size || t.funcs <= 0 || t.funcs >= t.w.size {
		return errors.New("the head of Go's function table makes no sense")
	}
	return nil
}

// goText is the address of runtime.text, from which entries count since 1.18.
// Until 1.25 it stands in the table's head; since 1.26 only in the module's
// data, which has a section of its own (src/runtime/symtab.go).
func (m *Image) goText(table uint64) (uint64, error) {
	const textInHead, textInModule = 8 + 2*8, 176
	if text, err := m.pointer(table + textInHead); err != nil || text != 0 {
		return text, err
	}
	s := m.elf.Section(".go.module")
	if s == nil {
		return 0, errors.New("neither the table nor a .go.module section tells where Go's code begins")
	}
	if head, err := m.pointer(s.Addr); err != nil || head != table {
		return 0, errors.New(".go.module is of an unknown layout")
	}
	return m.pointer(s.Addr + textInModule)
}

// findNames returns the offsets of the names in the table of names.
func (t *pclntab) findNames(names []string) (map[uint32]string, error) {
	table := &window{r: t.w.r, base: t.w.base + t.names, size: t.w.size - t.names}
	return findNames(table, names)
}

// entry is where function i begins, from text; that of i == n is the end.
func (t *pclntab) entry(i int64) (uint64, error) {
	if t.magic == magic116 {
		return t.w.u64(t.funcs + 16*i)
	}
	v, err := t.w.u32(t.funcs + 8*i)
	return uint64(v), err
}

// function reads entry and name of function i: the table is a list of entry
// and offset, and at that offset stand the entry again and the name's offset.
func (t *pclntab) function(i int64) (entry uint64, name uint32, err error) {
	if entry, err = t.entry(i); err != nil {
		return 0, 0, err
	}
	if t.magic == magic116 {
		at, err := t.w.u64(t.funcs + 16*i + 8)
		if err != nil {
			return 0, 0, err
		}
		name, err = t.f.u32(t.funcs + int64(at) + 8)
		return entry, name, err
	}
	at, err := t.w.u32(t.funcs + 8*i + 4)
	if err != nil {
		return 0, 0, err
	}
	name, err = t.f.u32(t.funcs + int64(at) + 4)
	return entry, name, err
}
