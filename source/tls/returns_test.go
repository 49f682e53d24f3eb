package tls

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weft/probe/executable"
)

// The places found are those that binutils disassembles as returns.
func TestReturnsAgainstObjdump(t *testing.T) {
	need(t, "objdump")
	for lib, f := range map[string]functions{"libssl.so.3": openSSL(), "libgnutls.so.30": gnuTLS()} {
		paths, _ := filepath.Glob("/usr/lib/*-linux-gnu/" + lib)
		if len(paths) == 0 {
			t.Skipf("%s is not installed", lib)
		}
		m, err := executable.Open(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		found, err := m.Symbols(elf.SHT_DYNSYM, f.names())
		if err != nil || !f.has(found) {
			t.Fatalf("%s: %v %v", lib, found, err)
		}
		all := disassembledReturns(t, paths[0])
		for name, fn := range found {
			_, spots, err := m.Spots(fn)
			if _, wanted := f.withReturn[name]; !wanted || errors.Is(err, executable.ErrNoReturn) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			var rets []uint64
			for _, s := range spots {
				rets = append(rets, s.Addr)
			}
			for _, r := range rets {
				if _, ok := slices.BinarySearch(all, r); !ok {
					t.Errorf("%s: %#x is no return", name, r)
				}
			}
			for _, r := range all {
				if r-fn.Addr < fn.Size && !slices.Contains(rets, r) {
					t.Errorf("%s: the return at %#x was not found", name, r)
				}
			}
		}
	}
}

func disassembledReturns(t *testing.T, path string) []uint64 {
	t.Helper()
	out, err := exec.Command("objdump", "-d", "--no-show-raw-insn", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []uint64
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[1] == "ret" {
			addr, err := strconv.ParseUint(strings.TrimSuffix(fields[0], ":"), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, addr)
		}
	}
	return all
}

// A file is anybody's: whatever is in it, it is looked into without a panic
// and without a probe outside its code.
func FuzzInspect(f *testing.F) {
	small, _ := filepath.Glob("/usr/lib/*-linux-gnu/libutil.so.1") // a small one, where there is one
	for _, path := range small {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		p := inspect(path, true)
		for _, pt := range p.points {
			for _, s := range pt.Near {
				if s.Offset >= uint64(len(b)) {
					t.Errorf("%s at %+v of %d bytes", pt.Program, s, len(b))
				}
			}
		}
	})
}
