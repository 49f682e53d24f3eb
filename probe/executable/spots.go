package executable

import "golang.org/x/arch/x86/x86asm"

// A probe is a trap, and then the kernel has the processor step over the
// instruction in its place, which is a second trap. Some instructions it
// emulates instead (arch/x86/kernel/uprobes.c): then the second trap, by far the
// dearer one under virtualisation, is saved (docs/performance.md). So a probe
// stands at such an instruction where the same registers can be read there.

// emulated tells of x86 instructions that kernels since 4.18 emulate: pushes of
// a register, near calls, jumps on a condition.
func emulated(code []byte) bool {
	c := append(code[:min(2, len(code)):min(2, len(code))], 0, 0)
	push := func(b byte) bool { return b >= 0x50 && b <= 0x57 }
	return push(c[0]) || c[0] == 0x41 && push(c[1]) || c[0] == 0xe8 ||
		c[0] >= 0x70 && c[0] <= 0x7f || c[0] == 0x0f && c[1] >= 0x80 && c[1] <= 0x8f
}

// Spot is a place for a probe: by its plain address, or cheaper at the
// instruction Near, where the stack pointer is lower by Depth.
type Spot struct{ Addr, Near, Depth uint64 }

// PlainSpot is a spot that has no cheaper place.
func PlainSpot(addr uint64) Spot { return Spot{Addr: addr, Near: addr} }

// maxAside bounds how far a probe stands from where it belongs, in instructions.
const maxAside = 16

// entry is where the function's begin is seen: no argument has changed there.
func (b *body) entry() Spot {
	plain, depth := PlainSpot(b.f.Addr), uint64(0)
	if b.switches {
		return plain
	}
	for i, in := range b.list[:min(maxAside, len(b.list))] {
		if i > 0 && b.inner[in.addr] { // not only those who enter come by
			break
		}
		if in.emulated {
			return Spot{b.f.Addr, in.addr, depth}
		}
		down, ok := harmless(in, argument)
		if !ok || down < 0 {
			break
		}
		depth += uint64(down)
	}
	return plain
}

// returnSpot is where the i-th instruction, a return, is seen: the check of the
// stack's guard shortly before it, which ends the program unless it goes on.
func (b *body) returnSpot(i int) Spot {
	plain, depth := PlainSpot(b.list[i].addr), uint64(0)
	if b.switches {
		return plain
	}
	for j := i - 1; j > 0 && j > i-maxAside && !b.inner[b.list[j+1].addr]; j-- {
		in := b.list[j]
		if in.emulated && in.x86.Op == x86asm.JNE && checksGuard(b.list[j-1].x86) {
			return Spot{plain.Addr, in.addr, depth}
		}
		down, ok := harmless(in, result)
		if !ok || down > 0 {
			break
		}
		depth += uint64(-down)
	}
	return plain
}

// checksGuard: gcc and clang compare what lies on the stack with %fs:0x28.
func checksGuard(in x86asm.Inst) bool {
	m, ok := in.Args[1].(x86asm.Mem)
	return ok && (in.Op == x86asm.SUB || in.Op == x86asm.XOR || in.Op == x86asm.CMP) &&
		m.Segment == x86asm.FS && m.Base == 0 && m.Disp == 0x28
}

// harmless tells of an instruction that only goes on to the next one and leaves
// the kept registers as they are, and by how much it lowers the stack pointer.
func harmless(in instruction, kept func(x86asm.Reg) bool) (down int64, ok bool) {
	to, isReg := in.x86.Args[0].(x86asm.Reg)
	imm, isImm := in.x86.Args[1].(x86asm.Imm)
	stack := isReg && to == x86asm.RSP
	switch in.x86.Op {
	case 0: // endbr64
		return 0, in.size == 4
	case x86asm.SUB, x86asm.ADD:
		if stack && isImm {
			if in.x86.Op == x86asm.ADD {
				imm = -imm
			}
			return int64(imm), true
		}
	case x86asm.POP:
		return -8, isReg && !stack && !kept(to)
	case x86asm.TEST, x86asm.CMP, x86asm.NOP:
		return 0, true
	case x86asm.MOV, x86asm.XOR, x86asm.LEA, x86asm.MOVSXD, x86asm.MOVZX:
	default:
		return 0, false
	}
	return 0, !isReg || !stack && !kept(to)
}

// register is a register's number, whatever width of it is named.
func register(r x86asm.Reg) int {
	switch {
	case r >= x86asm.AX && r <= x86asm.R15W:
		return int(r - x86asm.AX)
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX)
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX)
	}
	return -1
}

// argument tells of registers that hold one when a function begins, in C or in
// Go, or Go's goroutine; -1, the narrowest, may be part of one.
func argument(r x86asm.Reg) bool {
	switch register(r) {
	case -1, 1, 2, 3, 6, 7, 14: // CX, DX, BX, SI, DI, R14
		return true
	}
	return false
}

// result tells of the register that holds it when a function returns.
func result(r x86asm.Reg) bool { return register(r) <= 0 }
