package executable

import "errors"

// lengthOfVector returns the length of an instruction with a VEX or EVEX
// prefix (AVX, BMI, AVX-512), which x/arch does not decode, and 0 for others.
// None of them branches. Intel SDM volume 2, sections 2.3 and 2.7.
func lengthOfVector(code []byte) (int, error) {
	if len(code) == 0 {
		return 0, nil
	}
	var prefix int
	var opmap byte
	switch code[0] {
	case 0xc5:
		prefix, opmap = 2, 1
	case 0xc4:
		prefix = 3
	case 0x62:
		prefix = 4
	default:
		return 0, nil
	}
	if len(code) < prefix+1 {
		return 0, errors.New("cut vector instruction")
	}
	if prefix == 3 {
		opmap = code[1] & 0x1f
	} else if prefix == 4 {
		opmap = code[1] & 0x07
	}
	op := code[prefix]
	if opmap == 1 && op == 0x77 && prefix < 4 { // VZEROUPPER, VZEROALL: no operands
		return prefix + 1, nil
	}
	operands, err := lengthOfOperand(code[prefix+1:])
	if err != nil {
		return 0, err
	}
	n := prefix + 1 + operands
	switch {
	case opmap == 3, opmap == 1 && (op >= 0x70 && op <= 0x73 || op == 0xc2 || op >= 0xc4 && op <= 0xc6):
		n++ // an immediate byte
	case opmap < 1 || opmap > 6 || opmap == 4:
		return 0, errors.New("unknown vector instruction")
	}
	if n > len(code) {
		return 0, errors.New("cut vector instruction")
	}
	return n, nil
}

// lengthOfOperand is the length of a ModRM byte and what it asks for.
func lengthOfOperand(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, errors.New("cut operand")
	}
	mod, rm := b[0]>>6, b[0]&7
	n := 1
	if mod == 3 {
		return n, nil
	}
	base := rm
	if rm == 4 { // a SIB byte
		n++
		base = b[1] & 7
	}
	switch {
	case mod == 1:
		n++
	case mod == 2, base == 5: // with mod 0, base 5 (RBP) or RIP means a displacement
		n += 4
	}
	return n, nil
}
