package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passed = `{"Action":"pass","Package":"weft/a","Test":"TestA"}
{"Action":"pass","Package":"weft/a","Elapsed":0.1}
`

const skipped = `{"Action":"output","Package":"weft/a","Test":"TestB","Output":"    b_test.go:3: not root\n"}
{"Action":"skip","Package":"weft/a","Test":"TestB"}
`

const failed = `{"Action":"output","Package":"weft/a","Test":"TestC","Output":"    c_test.go:3: boom\n"}
{"Action":"fail","Package":"weft/a","Test":"TestC"}
{"Action":"fail","Package":"weft/a","Elapsed":0.1}
`

const unbuilt = `{"Action":"build-output","ImportPath":"weft/a","Output":"a.go:1: undefined: x\n"}
{"Action":"fail","Package":"weft/a","Elapsed":0,"FailedBuild":"weft/a"}
`

func TestRun(t *testing.T) {
	allow := filepath.Join(t.TempDir(), "allow.txt")
	if err := os.WriteFile(allow, []byte("# none\nweft/a TestB the kernel is too old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, in, allow string
		strict          bool
		want            string
		ok              bool
	}{
		{"pass", passed, "", true, "1 passed, 0 failed, 0 skipped", true},
		{"fail", passed + failed, "", false, "c_test.go:3: boom", false},
		{"build failure", unbuilt, "", false, "undefined: x", false},
		{"skip by hand", skipped + passed, "", false, "skipped: weft/a TestB: b_test.go:3: not root", true},
		{"skip in CI", skipped + passed, "", true, "SKIPPED WITHOUT LEAVE: weft/a TestB", false},
		{"skip with leave", skipped + passed, allow, true, "1 passed, 0 failed, 1 skipped", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(tt.in), &out, tt.allow, tt.strict)
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("no %q in:\n%s", tt.want, out.String())
			}
		})
	}
}

func TestReadAllowWantsAReason(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allow.txt")
	if err := os.WriteFile(path, []byte("weft/a TestB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readAllow(path); err == nil || !strings.Contains(err.Error(), "allow.txt:1:") {
		t.Errorf("error %v", err)
	}
}
