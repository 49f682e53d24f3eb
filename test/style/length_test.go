package style

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The hard limits, in lines. What we aim at is less than half of them.
const (
	goFile    = 500
	cFile     = 300
	cFunction = 40
	goPackage = 3000
)

const root = "../.."

// sources returns the files of the work tree that have the extension, with
// their text: those that git tracks and those it would track.
func sources(t *testing.T, ext string) map[string]string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*"+ext)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	files := map[string]string{}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) || isGenerated(text) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

func isGenerated(text []byte) bool {
	return regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`).Match(text[:min(len(text), 500)])
}

func TestFileLength(t *testing.T) {
	for ext, limit := range map[string]int{".go": goFile, ".c": cFile, ".h": cFile} {
		for name, text := range sources(t, ext) {
			if n := strings.Count(text, "\n"); n > limit {
				t.Errorf("%s has %d lines, more than %d: it says more than one thing", name, n, limit)
			}
		}
	}
}

func TestPackageLength(t *testing.T) {
	lines := map[string]int{}
	for name, text := range sources(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			lines[filepath.Dir(name)] += strings.Count(text, "\n")
		}
	}
	for dir, n := range lines {
		if n > goPackage {
			t.Errorf("package %s has %d lines, more than %d", dir, n, goPackage)
		}
	}
}

// In the kernel's brace style a function's body stands between lines that are
// just { and }.
func TestCFunctionLength(t *testing.T) {
	body := regexp.MustCompile(`(?ms)^([^\n]*)\n\{\n(.*?)^\}$`)
	for _, ext := range []string{".c", ".h"} {
		for name, text := range sources(t, ext) {
			for _, m := range body.FindAllStringSubmatch(text, -1) {
				if n := strings.Count(m[2], "\n"); n > cFunction {
					t.Errorf("%s: a function of %d lines, more than %d: %s", name, n, cFunction, m[1])
				}
			}
		}
	}
}

func TestCLicence(t *testing.T) {
	const want = "SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause"
	for _, ext := range []string{".c", ".h"} {
		for name, text := range sources(t, ext) {
			if !strings.Contains(text[:min(len(text), 200)], want) {
				t.Errorf("%s: wants on top: %s", name, want)
			}
		}
	}
}
