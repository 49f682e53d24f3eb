package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"weft/test/vm/guest"
)

// payload is what goes into a guest beside its kernel's modules.
type payload struct {
	init  string
	tests []testBinary
	args  []string // for each test binary
	files []packed
}

// writeInitrd packs the guest's whole root file system.
func writeInitrd(file string, p payload, modules []module) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	defer f.Close()
	c := newCpioWriter(f)
	writeSkeleton(c)
	c.copy("init", p.init)
	job := guest.Job{}
	for _, m := range modules {
		name := path.Join("/lib/modules", m.file)
		c.bytes(name, 0o644, m.content)
		job.Modules = append(job.Modules, name)
	}
	for _, t := range p.tests {
		job.Tests = append(job.Tests, packTest(c, t, p.args))
	}
	for _, f := range uniqueFiles(p.files) {
		c.copy(f.dst, f.src)
	}
	raw, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("writing the job: %w", err)
	}
	c.bytes(guest.JobPath, 0o644, raw)
	if err := c.close(); err != nil {
		return fmt.Errorf("writing the initramfs: %w", err)
	}
	return nil
}

// writeSkeleton adds what programs expect of any root: mount points, a console, the names root and localhost.
func writeSkeleton(c *cpioWriter) {
	for _, d := range []string{"proc", "sys", "dev", "run", "root", "tmp", "var/log", "usr/bin", "usr/sbin", "usr/lib"} {
		c.dir(d)
	}
	for _, link := range []string{"bin", "sbin", "lib"} {
		c.symlink(link, "usr/"+link)
	}
	c.dir("usr/lib64")
	c.symlink("lib64", "usr/lib64")
	c.symlink("var/run", "/run")
	c.charDevice("dev/console", 0o600, 5, 1)
	c.bytes("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"))
	c.bytes("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	c.bytes("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	c.bytes("etc/nsswitch.conf", 0o644, []byte("hosts: files\n"))
}

// packTest adds a binary and its package's testdata, laid out so that relative paths hold as under `go test`.
func packTest(c *cpioWriter, t testBinary, args []string) guest.Test {
	dir := path.Join("/src", t.pkg)
	name := path.Join("/tests", filepath.Base(t.file))
	c.dir(dir)
	c.copy(name, t.file)
	data := filepath.Join(t.dir, "testdata")
	err := filepath.WalkDir(data, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(t.dir, file)
		if err == nil {
			c.copy(path.Join(dir, filepath.ToSlash(rel)), file)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		c.fail(fmt.Errorf("packing testdata of %s: %w", t.pkg, err))
	}
	return guest.Test{Package: t.pkg, Path: name, Dir: dir, Args: args}
}
