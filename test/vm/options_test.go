package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseFlags(t *testing.T) {
	o, err := parseFlags([]string{"-kernels", "5.10,6.12", "-pkgs", "./a ./b", "-run", "^TestX$", "-timeout", "2m",
		"-args", "-test.short", "-file", "/dev/../etc/passwd:/x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.kernels, []string{"5.10", "6.12"}) || !slices.Equal(o.packages, []string{"./a", "./b"}) {
		t.Errorf("got %q %q", o.kernels, o.packages)
	}
	if len(o.files) != 1 || o.files[0].dst != "/x" || o.machine.timeout != 3*time.Minute {
		t.Errorf("got %+v", o)
	}
	got := strings.Join(o.testArgs(), " ")
	if got != "-test.v=test2json -test.paniconexit0 -test.timeout=2m0s -test.run=^TestX$ -test.short" {
		t.Errorf("test arguments %s", got)
	}
}

func TestParseFlagsRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-kernels", ""}, {"-pkgs", ","}, {"-j", "0"}, {"./probe"}, {"-file", "onlysrc"}, {"-file", "/nonexistent:/x"},
		{"-file", "/etc:/x"}, {"-bin", "no-such-program"},
	} {
		if _, err := parseFlags(args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestParseLdd(t *testing.T) {
	const out = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
	want := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if got := parseLdd(out); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
