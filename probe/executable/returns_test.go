package executable

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// Lengths as binutils gives them for the same bytes.
func TestLengthOfVector(t *testing.T) {
	for _, c := range []struct {
		text string
		code []byte
		want int
	}{
		{"vzeroupper", []byte{0xc5, 0xf8, 0x77, 0xc3}, 3},
		{"vmovdqu ymm0, [rsi+0x10]", []byte{0xc5, 0xfe, 0x6f, 0x46, 0x10, 0xc3}, 5},
		{"vmovdqu ymm1, [rip+0x1000]", []byte{0xc5, 0xfe, 0x6f, 0x0d, 0, 0x10, 0, 0, 0xc3}, 8},
		{"vpshufd xmm0, xmm1, 3", []byte{0xc5, 0xf9, 0x70, 0xc1, 3, 0xc3}, 5},
		{"vpalignr ymm0, ymm1, [rsp+8], 8", []byte{0xc4, 0xe3, 0x75, 0x0f, 0x44, 0x24, 8, 8, 0xc3}, 8},
		{"andn eax, ebx, ecx", []byte{0xc4, 0xe2, 0x60, 0xf2, 0xc1, 0xc3}, 5},
		{"shlx rax, [rax*4+0x100], rcx", []byte{0xc4, 0xe2, 0xf1, 0xf7, 0x04, 0x85, 0, 1, 0, 0, 0xc3}, 10},
		{"vmovdqu64 zmm0, [rdi+0x40]", []byte{0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x47, 1, 0xc3}, 7},
		{"ret", []byte{0xc3}, 0},
		{"mov", []byte{0x48, 0x89, 0xe5}, 0},
	} {
		if n, err := lengthOfVector(c.code); n != c.want || err != nil {
			t.Errorf("%s: %d, %v; want %d", c.text, n, err, c.want)
		}
		for cut := 1; cut < c.want; cut++ {
			if n, err := lengthOfVector(c.code[:cut]); err == nil {
				t.Errorf("%s cut at %d has %d bytes", c.text, cut, n)
			}
		}
	}
}

// A jump to a computed address is a switch or the end of the function: the
// latter hides the return, as in OpenSSL 3's SSL_do_handshake.
func TestComputedJumps(t *testing.T) {
	for _, c := range []struct {
		text           string
		code           []byte
		computed, adds bool
	}{
		{"jmp *%rax", []byte{0xff, 0xe0}, true, false},
		{"notrack jmp *%rax", []byte{0x3e, 0xff, 0xe0}, false, false},
		{"jmp *0x78(%rax)", []byte{0xff, 0x60, 0x78}, true, false},
		{"jmp *0x1000(,%rax,8)", []byte{0xff, 0x24, 0xc5, 0, 0x10, 0, 0}, false, false},
		{"call *%rax", []byte{0xff, 0xd0}, false, false},
		{"add %rdx,%rax", []byte{0x48, 0x01, 0xd0}, false, true},
		{"add $0x30,%rsp", []byte{0x48, 0x83, 0xc4, 0x30}, false, false},
	} {
		in, err := decodeX86(c.code, 0)
		if err != nil || in.size != len(c.code) || in.computed != c.computed || in.adds != c.adds {
			t.Errorf("%s: %+v, %v", c.text, in, err)
		}
	}
}

func TestDecodeARM64(t *testing.T) {
	for _, c := range []struct {
		text string
		word uint32
		want instruction
	}{
		{"ret", 0xd65f03c0, instruction{size: 4, returns: true}},
		{"retaa", 0xd65f0bff, instruction{size: 4, returns: true}},
		{"b +8", 0x14000002, instruction{size: 4, jumps: true, target: 0x1008}},
		{"b -4", 0x17ffffff, instruction{size: 4, jumps: true, target: 0xffc}},
		{"bl +8", 0x94000002, instruction{size: 4}},
		{"b.ne -16", 0x54ffff81, instruction{size: 4, jumps: true, target: 0xff0}},
		{"cbz x0, +12", 0xb4000060, instruction{size: 4, jumps: true, target: 0x100c}},
		{"tbnz w0, #0, +4", 0x37000020, instruction{size: 4, jumps: true, target: 0x1004}},
		{"add x0, x0, #1", 0x91000400, instruction{size: 4}},
		{"add x0, x0, x1", 0x8b010000, instruction{size: 4, adds: true}},
		{"br x16", 0xd61f0200, instruction{size: 4, computed: true}},
	} {
		code := binary.LittleEndian.AppendUint32(nil, c.word)
		if got, err := decodeARM64(code, 0x1000); got != c.want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

// The decoder must agree with itself: whatever the bytes are, a length is
// positive and inside them.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0xc5, 0xf8, 0x77, 0xc3})
	f.Add(bytes.Repeat([]byte{0x62}, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		for i := 0; i < len(b); {
			in, err := decodeX86(b[i:], uint64(i))
			if err != nil {
				return
			}
			if in.size <= 0 || in.size > len(b)-i {
				t.Fatalf("%x: length %d", b[i:], in.size)
			}
			i += in.size
		}
	})
}
