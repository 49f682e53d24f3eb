package main

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
)

// packed is a host file and its place in the guest.
type packed struct{ src, dst string }

// parsePacked reads SRC:DST.
func parsePacked(s string) (packed, error) {
	src, dst, ok := strings.Cut(s, ":")
	if !ok || src == "" || dst == "" {
		return packed{}, fmt.Errorf("%q is not SRC:DST", s)
	}
	st, err := os.Stat(src)
	if err != nil {
		return packed{}, fmt.Errorf("packing a file: %w", err)
	}
	if !st.Mode().IsRegular() {
		return packed{}, fmt.Errorf("packing %s: not a regular file", src)
	}
	return packed{src: src, dst: dst}, nil
}

// packProgram finds a program and the libraries that it needs. It goes to /usr/bin, the libraries to where they are.
func packProgram(name string) ([]packed, error) {
	src, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("packing a program: %w", err)
	}
	files := []packed{{src: src, dst: path.Join("/usr/bin", path.Base(src))}}
	out, err := exec.Command("ldd", src).Output()
	if err != nil {
		return files, nil // "not a dynamic executable": nothing else to pack
	}
	for _, lib := range parseLdd(string(out)) {
		files = append(files, packed{src: lib, dst: lib})
	}
	return files, nil
}

// parseLdd takes the absolute paths from "libc.so.6 => /lib/libc.so.6 (0x…)" and "/lib64/ld-linux.so.2 (0x…)".
func parseLdd(out string) []string {
	var libs []string
	for line := range strings.Lines(out) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") {
				libs = append(libs, word)
			}
		}
	}
	return libs
}

// uniqueFiles drops repeated destinations: programs share libraries.
func uniqueFiles(files []packed) []packed {
	seen := map[string]bool{}
	var out []packed
	for _, f := range files {
		if !seen[cpioName(f.dst)] {
			seen[cpioName(f.dst)] = true
			out = append(out, f)
		}
	}
	return out
}
