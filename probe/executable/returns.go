package executable

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// maxTails bounds how far jumps out of a function are followed.
const maxTails = 32

// errUnknownEnd: the function ends in another one that is known only when it
// runs, so its return cannot be seen.
var errUnknownEnd = errors.New("it ends in a jump to a computed address")

// ErrNoReturn says that the function only jumps to another file's.
var ErrNoReturn = errors.New("it never returns by itself")

// Returns lists the addresses of all instructions by which a function returns,
// see Spots.
func (m *Image) Returns(f Function) ([]uint64, error) {
	_, spots, err := m.Spots(f)
	var all []uint64
	for _, s := range spots {
		all = append(all, s.Addr)
	}
	return all, err
}

// Spots tells where a function's entry is seen, and all instructions by which
// it returns: its own, and those of code that it jumps to instead of calling
// (tail calls, parts that the compiler moved away). It fails when the code is
// not understood: a probe inside an instruction would break the program.
func (m *Image) Spots(f Function) (entry Spot, rets []Spot, err error) {
	todo, seen := []Function{f}, map[uint64]bool{f.Addr: true}
	for len(todo) > 0 {
		b, err := m.scan(todo[0])
		if err != nil {
			return entry, nil, err
		}
		if todo[0] == f {
			entry = b.entry()
		}
		todo = todo[1:]
		rets = append(rets, b.returns()...)
		for _, addr := range b.leaves() {
			if m.inStubs(addr) {
				continue
			}
			next, err := m.extent(addr)
			if err != nil {
				return entry, nil, fmt.Errorf("a jump out of the function: %w", err)
			}
			if seen[next.Addr] {
				continue
			}
			if len(seen) == maxTails {
				return entry, nil, errors.New("it jumps to too many other functions")
			}
			seen[next.Addr] = true
			todo = append(todo, next)
		}
	}
	if len(rets) == 0 {
		return entry, nil, ErrNoReturn
	}
	return entry, rets, nil
}

// body is the code of one function.
type body struct {
	f    Function
	list []instruction
	// inner are the targets of jumps within; they are not all known when one of
	// them is computed.
	inner    map[uint64]bool
	switches bool
}

// scan decodes one function.
func (m *Image) scan(f Function) (*body, error) {
	if f.Size == 0 || f.Size > maxFunction {
		whole, err := m.extent(f.Addr)
		if err != nil {
			return nil, err
		}
		f = whole
	}
	code, err := m.code(f.Addr, f.Size)
	if err != nil {
		return nil, err
	}
	decode := decodeX86
	if m.elf.Machine == elf.EM_AARCH64 {
		decode = decodeARM64
	} else if m.elf.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("%w: code for %v", errors.ErrUnsupported, m.elf.Machine)
	}
	b := &body{f: f, inner: map[uint64]bool{}}
	var last instruction
	for i := uint64(0); i < uint64(len(code)); {
		in, err := decode(code[i:], f.Addr+i)
		if err != nil {
			return nil, fmt.Errorf("decode the instruction at %#x: %w", f.Addr+i, err)
		}
		in.addr = f.Addr + i
		if in.jumps {
			b.inner[in.target] = true
		}
		// Behind an addition stands the jump of a switch, which stays inside.
		if in.computed && !last.adds {
			return nil, fmt.Errorf("%w at %#x", errUnknownEnd, in.addr)
		}
		b.switches = b.switches || in.switches || in.computed
		b.list = append(b.list, in)
		last = in
		i += uint64(in.size)
	}
	return b, nil
}

// returns are the function's return instructions.
func (b *body) returns() []Spot {
	var all []Spot
	for i, in := range b.list {
		if in.returns {
			all = append(all, b.returnSpot(i))
		}
	}
	return all
}

// leaves are the targets of jumps out of the function.
func (b *body) leaves() []uint64 {
	var out []uint64
	for _, in := range b.list {
		if in.jumps && in.target-b.f.Addr >= b.f.Size {
			out = append(out, in.target)
		}
	}
	return out
}

// instruction is what we need to know of one.
type instruction struct {
	addr    uint64
	size    int
	returns bool
	jumps   bool // to target, whether on a condition or not; not a call
	target  uint64
	// computed: it jumps to an address from a register or from memory.
	computed bool
	switches bool // it jumps by a table
	adds     bool // to a register other than the stack's
	// x86 is the instruction whole, where the architecture is that and x/arch
	// knows it.
	x86 x86asm.Inst
	// emulated: the kernel does its work itself, see spots.go.
	emulated bool
}

func decodeX86(code []byte, pc uint64) (instruction, error) {
	if n, err := lengthOfVector(code); n > 0 || err != nil {
		return instruction{size: n}, err
	}
	// endbr64, a branch target's mark, which the decoder does not know.
	if len(code) >= 4 && [4]byte(code) == [4]byte{0xf3, 0x0f, 0x1e, 0xfa} {
		return instruction{size: 4}, nil
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return instruction{}, err
	}
	if in.Len == 0 || in.Op == 0 {
		return instruction{}, x86asm.ErrUnrecognized
	}
	i := instruction{size: in.Len, returns: in.Op == x86asm.RET, x86: in, emulated: emulated(code)}
	if rel, ok := in.Args[0].(x86asm.Rel); ok && in.Op != x86asm.CALL {
		i.jumps, i.target = true, pc+uint64(in.Len)+uint64(int64(rel))
	}
	if in.Op == x86asm.JMP && !i.jumps {
		m, inMemory := in.Args[0].(x86asm.Mem)
		const notrack = 0x3e // the mark of a switch where branch targets are marked
		i.switches = code[0] == notrack || inMemory && m.Index != 0
		i.computed = !i.switches
	}
	if to, ok := in.Args[0].(x86asm.Reg); ok && in.Op == x86asm.ADD {
		_, i.adds = in.Args[1].(x86asm.Reg)
		i.adds = i.adds && to != x86asm.RSP
	}
	return i, nil
}

// decodeARM64 knows RET (also with pointer authentication) and the branches
// with an immediate target; all instructions are four bytes.
func decodeARM64(code []byte, pc uint64) (instruction, error) {
	if len(code) < 4 {
		return instruction{}, errors.New("cut instruction")
	}
	w := binary.LittleEndian.Uint32(code)
	in := instruction{size: 4}
	relative := func(field uint32, bits int) {
		shift := 32 - bits
		in.jumps, in.target = true, pc+uint64(int64(int32(field<<shift)>>shift)*4)
	}
	switch {
	case w&^(0x1f<<5) == 0xd65f0000, w == 0xd65f0bff, w == 0xd65f0fff: // RET, RETAA, RETAB
		in.returns = true
	case w&^(0x1f<<5) == 0xd61f0000: // BR
		in.computed = true
	case w&0x7f200000 == 0x0b000000: // ADD (shifted or extended register)
		in.adds = true
	case w>>26 == 0x05: // B
		relative(w&(1<<26-1), 26)
	case w>>24 == 0x54, w>>25&0x3f == 0x1a: // B.cond, CBZ, CBNZ
		relative(w>>5&(1<<19-1), 19)
	case w>>25&0x3f == 0x1b: // TBZ, TBNZ
		relative(w>>5&(1<<14-1), 14)
	}
	return in, nil
}
