package executable

import (
	"encoding/hex"
	"strings"
	"testing"
)

// bodyOf decodes a function whose instructions are in hex, one a field.
func bodyOf(t *testing.T, text string) *body {
	t.Helper()
	b := &body{f: Function{0x1000, 0}, inner: map[uint64]bool{}}
	for word := range strings.FieldsSeq(text) {
		code, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		in, err := decodeX86(code, b.f.Addr+b.f.Size)
		if err != nil || in.size != len(code) {
			t.Fatalf("%s: %+v, %v", word, in, err)
		}
		in.addr = b.f.Addr + b.f.Size
		b.f.Size += uint64(in.size)
		b.switches = b.switches || in.switches
		if in.jumps {
			b.inner[in.target] = true
		}
		b.list = append(b.list, in)
	}
	return b
}

func TestEntrySpots(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		want Spot
	}{
		"push":                {"55 c3", Spot{0x1000, 0x1000, 0}},
		"endbr64, push r12":   {"f30f1efa 4154 c3", Spot{0x1000, 0x1004, 0}},
		"SSL_read of Debian":  {"4883ec18 64488b042528000000 4889442408 31c0 85d2 782f c3", Spot{0x1000, 0x1016, 0x18}},
		"SSL_read_ex: a call": {"4883ec08 e8c7fdffff c3", Spot{0x1000, 0x1004, 8}},
		"Go":                  {"493b6610 7620 55 c3", Spot{0x1000, 0x1004, 0}},
		"an argument changes": {"89d7 55 c3", PlainSpot(0x1000)},
		"half of one":         {"b601 55 c3", PlainSpot(0x1000)},
		"the stack is moved":  {"4889ec 55 c3", PlainSpot(0x1000)},
		"it is jumped into":   {"31c0 55 c3 ebfc", PlainSpot(0x1000)},
		"a switch":            {"31c0 55 c3 3effe0", PlainSpot(0x1000)},
		"nothing there":       {"c3", PlainSpot(0x1000)},
	} {
		if got := bodyOf(t, c.code).entry(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestReturnSpots(t *testing.T) {
	const guard, end = "64482b142528000000 7544 ", "4883c418 31d2 c3"
	at := func(ret, cheap, depth uint64) Spot { return Spot{0x1000 + ret, 0x1000 + cheap, depth} }
	for name, c := range map[string]struct {
		code string
		want Spot
	}{
		"the guard is checked":     {guard + end, at(17, 9, 0x18)},
		"and registers come back":  {guard + "4883c410 5b 415c c3", at(18, 9, 0x20)},
		"and the result changes":   {guard + "4883c418 31c0 c3", PlainSpot(0x1011)},
		"the result comes back":    {guard + "58 c3", PlainSpot(0x100c)},
		"another jump":             {"4839d0 7544 " + end, PlainSpot(0x100b)},
		"another condition":        {"64482b142528000000 7444 " + end, PlainSpot(0x1011)},
		"a way around":             {guard + end + " ebf7", PlainSpot(0x1011)},
		"a way to the check":       {guard + end + " ebf5", at(17, 9, 0x18)},
		"the stack is moved":       {guard + "4889ec c3", PlainSpot(0x100e)},
		"nothing stands before it": {"c3", PlainSpot(0x1000)},
	} {
		b := bodyOf(t, c.code)
		if got := b.returns(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
