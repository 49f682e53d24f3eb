package executable

import (
	"debug/elf"
	"fmt"
	"sort"
)

// maxFunction bounds what is decoded as one function.
const maxFunction = 1 << 20

// extent finds the function that holds an address, where no symbol tells, in
// the unwinder's sorted table of all functions (.eh_frame_hdr, Linux Standard
// Base, "Exception Frames"). A function ends where the next one begins.
func (m *Image) extent(addr uint64) (Function, error) {
	p := m.unwindTable()
	if p == nil {
		return Function{}, fmt.Errorf("no unwind table tells where the function at %#x ends", addr)
	}
	w := &window{r: m.file, base: int64(p.Off), size: int64(p.Filesz)}
	h, err := w.bytes(0, 12)
	// Version 1; the table in the one encoding that linkers write: 32-bit
	// offsets from its own start.
	if err != nil || h[0] != 1 || h[2] != 0x03 || h[3] != 0x3b {
		return Function{}, fmt.Errorf("the unwind table has an unknown form")
	}
	n, err := w.u32(8)
	if err != nil || int64(n) > (w.size-12)/8 {
		return Function{}, fmt.Errorf("the unwind table is cut")
	}
	start := func(i int) uint64 {
		v, err := w.u32(12 + int64(i)*8)
		if err != nil {
			return 0
		}
		return p.Vaddr + uint64(int64(int32(v)))
	}
	i := sort.Search(int(n), func(i int) bool { return start(i) > addr })
	if i == 0 || i == int(n) || start(i)-start(i-1) > maxFunction {
		return Function{}, fmt.Errorf("the unwind table does not know the function at %#x", addr)
	}
	return Function{start(i - 1), start(i) - start(i-1)}, nil
}

func (m *Image) unwindTable() *elf.Prog {
	for _, p := range m.elf.Progs {
		if p.Type == elf.PT_GNU_EH_FRAME {
			return p
		}
	}
	return nil
}

// inStubs tells whether an address is in the stubs through which a file calls
// other files.
func (m *Image) inStubs(addr uint64) bool {
	for _, s := range m.elf.Sections {
		if len(s.Name) >= 4 && s.Name[:4] == ".plt" && s.Addr <= addr && addr-s.Addr < s.Size {
			return true
		}
	}
	return false
}
