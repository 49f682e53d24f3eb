package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// entry is what a reader of the archive sees.
type entry struct {
	name    string
	mode    int
	rdev    string
	content string
}

// readCpio is a second implementation of the format, as strict as the kernel's.
func readCpio(t *testing.T, raw []byte) []entry {
	t.Helper()
	number := func(off, i int) int {
		n, err := strconv.ParseUint(string(raw[off+6+8*i:off+14+8*i]), 16, 32)
		if err != nil {
			t.Fatalf("header at %d: %v", off, err)
		}
		return int(n)
	}
	align := func(n int) int { return (n + 3) &^ 3 }
	var list []entry
	inodes := map[int]bool{}
	for off := 0; ; {
		if off%4 != 0 || string(raw[off:off+6]) != "070701" {
			t.Fatalf("no header at %d", off)
		}
		if inodes[number(off, 0)] {
			t.Fatalf("inode %d twice: the kernel may take it for a hard link", number(off, 0))
		}
		inodes[number(off, 0)] = true
		e := entry{mode: number(off, 1), rdev: fmt.Sprintf("%d:%d", number(off, 9), number(off, 10))}
		size, nameSize := number(off, 6), number(off, 11)
		e.name = string(raw[off+110 : off+110+nameSize-1])
		data := align(off + 110 + nameSize)
		e.content = string(raw[data : data+size])
		off = align(data + size)
		if e.name == "TRAILER!!!" {
			return list
		}
		list = append(list, e)
	}
}

func TestCpio(t *testing.T) {
	src := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(src, []byte("12345"), 0o755); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	c := newCpioWriter(&buf)
	c.dir("/proc")
	c.symlink("lib", "usr/lib")
	c.bytes("/lib/modules/a.ko", 0o644, []byte("abc"))
	c.bytes("/lib/modules/b.ko", 0o644, nil)
	c.copy("usr/bin/prog", src)
	c.charDevice("dev/console", 0o600, 5, 1)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{"proc", 0o40755, "0:0", ""},
		{"lib", 0o120777, "0:0", "usr/lib"},
		{"lib/modules", 0o40755, "0:0", ""},
		{"lib/modules/a.ko", 0o100644, "0:0", "abc"},
		{"lib/modules/b.ko", 0o100644, "0:0", ""},
		{"usr", 0o40755, "0:0", ""},
		{"usr/bin", 0o40755, "0:0", ""},
		{"usr/bin/prog", 0o100755, "0:0", "12345"},
		{"dev", 0o40755, "0:0", ""},
		{"dev/console", 0o20600, "5:1", ""},
	}
	got := readCpio(t, buf.Bytes())
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("entry %d:\ngot  %v\nwant %v", i, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
}

func TestCpioErrors(t *testing.T) {
	c := newCpioWriter(&bytes.Buffer{})
	c.copy("x", "/nonexistent/x")
	c.bytes("y", 0o644, []byte("goes on"))
	if err := c.close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	c = newCpioWriter(&bytes.Buffer{})
	c.stream("x", 0o644, 5, strings.NewReader("123")) // shrank while being read
	if err := c.close(); err == nil {
		t.Error("a short file was packed")
	}
}
