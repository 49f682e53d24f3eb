package executable

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrNoSymbols says that the file has no table of symbols of that kind.
var ErrNoSymbols = errors.New("no symbols")

// Image is an ELF file that a process runs or maps. Files are anybody's: what
// is read of one is bounded, and a malformed one is an error.
type Image struct {
	file *os.File
	elf  *elf.File
}

// Function is where a function's code lies, by the file's virtual addresses;
// size is 0 where only the start is known.
type Function struct{ Addr, Size uint64 }

// Open reads the headers. debug/elf does not promise to survive every
// file, so a panic of it is an error too.
func Open(path string) (m *Image, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed ELF file: %v", r)
		}
		if err != nil {
			f.Close()
		}
	}()
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("read ELF headers: %w", err)
	}
	if e.Class != elf.ELFCLASS64 || e.ByteOrder != binary.LittleEndian {
		return nil, fmt.Errorf("%w: not a 64-bit little-endian program", errors.ErrUnsupported)
	}
	return &Image{file: f, elf: e}, nil
}

// Close closes the file.
func (m *Image) Close() { m.file.Close() }

// code returns the executable bytes at a virtual address, at most n.
func (m *Image) code(addr, n uint64) ([]byte, error) {
	p := m.segment(addr)
	if p == nil || p.Flags&elf.PF_X == 0 {
		return nil, fmt.Errorf("address %#x is not in the program's code", addr)
	}
	n = min(n, p.Vaddr+p.Filesz-addr)
	buf := make([]byte, n)
	if _, err := m.file.ReadAt(buf, int64(p.Off+addr-p.Vaddr)); err != nil {
		return nil, fmt.Errorf("read code: %w", err)
	}
	return buf, nil
}

// Offset is where the byte of a virtual address stands in the file.
func (m *Image) Offset(addr uint64) (uint64, bool) {
	p := m.segment(addr)
	if p == nil {
		return 0, false
	}
	return p.Off + addr - p.Vaddr, true
}

func (m *Image) segment(addr uint64) *elf.Prog {
	for _, p := range m.elf.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr <= addr && addr-p.Vaddr < p.Filesz {
			return p
		}
	}
	return nil
}

// at returns a reader that begins at a virtual address.
func (m *Image) at(addr uint64) (*window, error) {
	p := m.segment(addr)
	if p == nil {
		return nil, fmt.Errorf("address %#x is not in the file", addr)
	}
	return &window{r: m.file, base: int64(p.Off + addr - p.Vaddr), size: int64(p.Vaddr + p.Filesz - addr)}, nil
}

// pointer reads an address that is stored at addr. In a position-independent
// file it may stand in the relocation only.
func (m *Image) pointer(addr uint64) (uint64, error) {
	w, err := m.at(addr)
	if err != nil {
		return 0, err
	}
	if v, err := w.u64(0); err != nil || v != 0 {
		return v, err
	}
	for _, s := range m.elf.Sections {
		if s.Type != elf.SHT_RELA { //nolint:misspell // the ELF section type
			continue
		}
		rel := &window{r: m.file, base: int64(s.Offset), size: int64(s.FileSize)}
		for i := int64(0); i+24 <= rel.size; i += 24 {
			where, err := rel.u64(i)
			if err != nil {
				break
			}
			if where == addr {
				return rel.u64(i + 16)
			}
		}
	}
	return 0, nil
}

// Symbols finds functions by name in the file's tables of one type
// (SHT_DYNSYM, SHT_SYMTAB). It reads the tables once, in blocks: node's names
// alone are 7 MB.
func (m *Image) Symbols(kind elf.SectionType, names []string) (map[string]Function, error) {
	found := map[string]Function{}
	s := m.elf.SectionByType(kind)
	if s == nil || s.Link == 0 || int(s.Link) >= len(m.elf.Sections) {
		return found, ErrNoSymbols
	}
	str := m.elf.Sections[s.Link]
	at, err := findNames(&window{r: m.file, base: int64(str.Offset), size: int64(str.FileSize)}, names)
	if err != nil || len(at) == 0 {
		return found, err
	}
	w := &window{r: m.file, base: int64(s.Offset), size: int64(s.FileSize)}
	for i := int64(0); i+24 <= w.size; i += 24 {
		b, err := w.bytes(i, 24)
		if err != nil {
			return found, err
		}
		name, ok := at[binary.LittleEndian.Uint32(b)]
		defined := binary.LittleEndian.Uint16(b[6:]) != uint16(elf.SHN_UNDEF)
		if !ok || !defined || elf.ST_TYPE(b[4]) != elf.STT_FUNC {
			continue
		}
		if f := (Function{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}); f.Addr != 0 {
			found[name] = f
		}
	}
	return found, nil
}

// findNames returns where each name ends a string of the table: a symbol may
// point at the tail of a longer one.
func findNames(w *window, names []string) (map[uint32]string, error) {
	const block = 256 << 10
	at := map[uint32]string{}
	longest := 0
	for _, n := range names {
		longest = max(longest, len(n)+1)
	}
	for from := int64(0); from < w.size; from += block {
		b, err := w.bytes(from, min(block+longest, int(w.size-from)))
		if err != nil {
			return nil, fmt.Errorf("read names: %w", err)
		}
		for _, n := range names {
			for _, i := range indexAll(b, n+"\x00") {
				at[uint32(from)+uint32(i)] = n
			}
		}
	}
	return at, nil
}

func indexAll(b []byte, s string) []int {
	var all []int
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(s))
		if i < 0 {
			return all
		}
		all = append(all, from+i)
		from += i + 1
	}
}

// Contains tells which of the strings occur in the file's read-only data.
func (m *Image) Contains(words []string) map[string]bool {
	found := map[string]bool{}
	for _, s := range m.elf.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_EXECINSTR != 0 ||
			!strings.HasPrefix(s.Name, ".rodata") {
			continue
		}
		w := &window{r: m.file, base: int64(s.Offset), size: min(int64(s.FileSize), 64<<20)}
		const block = 256 << 10
		for from := int64(0); from < w.size; from += block {
			b, err := w.bytes(from, min(block+32, int(w.size-from)))
			if err != nil {
				break
			}
			for _, word := range words {
				found[word] = found[word] || bytes.Contains(b, []byte(word))
			}
		}
	}
	return found
}

// window reads a part of a file through one block, so that a table is never
// in memory whole.
type window struct {
	r          io.ReaderAt
	base, size int64
	block      []byte
	from       int64
}

// bytes returns n bytes at off; valid until the next call.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || off+int64(n) > w.size {
		return nil, io.ErrUnexpectedEOF
	}
	if off < w.from || off+int64(n) > w.from+int64(len(w.block)) {
		want := min(int64(max(n, 64<<10)), w.size-off)
		if int64(cap(w.block)) < want {
			w.block = make([]byte, want)
		}
		w.block, w.from = w.block[:want], off
		if _, err := w.r.ReadAt(w.block, w.base+off); err != nil {
			w.block = w.block[:0]
			return nil, err
		}
	}
	return w.block[off-w.from:][:n], nil
}

func (w *window) u32(off int64) (uint32, error) {
	b, err := w.bytes(off, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (w *window) u64(off int64) (uint64, error) {
	b, err := w.bytes(off, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}
