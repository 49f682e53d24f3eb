package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// File types of a cpio header's mode.
const (
	cpioDir     = 0o040000
	cpioFile    = 0o100000
	cpioSymlink = 0o120000
	cpioChar    = 0o020000
)

// cpioWriter writes the "newc" format, the one the kernel unpacks as an initramfs. The first error sticks and is
// returned by close. Nothing is compressed: unpacking costs an emulated CPU more than copying.
type cpioWriter struct {
	w    *bufio.Writer
	ino  int
	size int64
	dirs map[string]bool
	err  error
}

func newCpioWriter(w io.Writer) *cpioWriter {
	return &cpioWriter{w: bufio.NewWriterSize(w, 1<<20), dirs: map[string]bool{".": true}}
}

// dir adds a directory and its parents, once.
func (c *cpioWriter) dir(name string) {
	name = cpioName(name)
	if c.dirs[name] {
		return
	}
	c.dirs[name] = true
	c.dir(path.Dir(name))
	c.header(name, cpioDir|0o755, 0, 0, 0)
}

// bytes adds a small file.
func (c *cpioWriter) bytes(name string, perm os.FileMode, content []byte) {
	c.stream(name, perm, int64(len(content)), strings.NewReader(string(content)))
}

// stream adds a file of a known size.
func (c *cpioWriter) stream(name string, perm os.FileMode, size int64, r io.Reader) {
	c.dir(path.Dir(cpioName(name)))
	c.header(name, cpioFile|int(perm.Perm()), size, 0, 0)
	if c.err != nil {
		return
	}
	n, err := io.Copy(c.w, r)
	c.size += n
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes instead of %d", n, size)
	}
	if err != nil {
		c.err = fmt.Errorf("packing %s: %w", name, err)
	}
	c.pad()
}

// copy adds a file of the host, whatever it is linked to.
func (c *cpioWriter) copy(name, src string) {
	f, err := os.Open(src)
	if err != nil {
		c.fail(err)
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		c.fail(err)
		return
	}
	c.stream(name, st.Mode(), st.Size(), f)
}

// symlink adds one; to a directory it serves as a directory, and the kernel would replace it by a real one.
func (c *cpioWriter) symlink(name, target string) {
	c.dir(path.Dir(cpioName(name)))
	c.dirs[cpioName(name)] = true
	c.header(name, cpioSymlink|0o777, int64(len(target)), 0, 0)
	c.print(target)
	c.pad()
}

func (c *cpioWriter) charDevice(name string, perm, major, minor int) {
	c.dir(path.Dir(cpioName(name)))
	c.header(name, cpioChar|perm, 0, major, minor)
}

// close writes the trailer and returns the first error.
func (c *cpioWriter) close() error {
	c.header("TRAILER!!!", 0, 0, 0, 0)
	if err := c.w.Flush(); err != nil {
		c.fail(err)
	}
	return c.err
}

// header writes 110 characters, the name with its NUL, and fills up to four bytes. One link and no time each: the
// same content gives the same archive.
func (c *cpioWriter) header(name string, mode int, size int64, major, minor int) {
	c.ino++
	name = cpioName(name)
	c.print(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.ino, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name)+1, 0, name))
	c.pad()
}

func (c *cpioWriter) print(s string) {
	n, err := c.w.WriteString(s)
	c.size += int64(n)
	if err != nil {
		c.fail(err)
	}
}

func (c *cpioWriter) pad() {
	c.print("\x00\x00\x00"[:-c.size&3])
}

func (c *cpioWriter) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// cpioName makes a name relative to the archive's root.
func cpioName(name string) string {
	return path.Clean(strings.TrimLeft(name, "/"))
}
