package bash

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf/link"

	"weft/probe/executable"
	"weft/probe/uprobe"
)

const (
	// maxBuilds bounds the files that are remembered, with and without probes.
	maxBuilds = 4096
	// keepUnused is how many rescans a file keeps its probes that nobody maps.
	keepUnused = 10
)

// build is a file that was looked into: a bash, a readline, or neither.
type build struct {
	plan
	size  int64
	mtime time.Time
	links []link.Link
	// unused counts rescans without a process that maps it; resident files,
	// those of the machine itself, keep their probes.
	unused   int
	resident bool
}

// builds keeps probes in every bash and every readline. One goroutine uses it,
// but for attached.
type builds struct {
	k          *kernel
	log        *slog.Logger
	proc, root string
	files      map[executable.ID]*build
	self       executable.ID // the collector is never probed
	mu         sync.Mutex
	probed     int
	closing    sync.Once
}

func newBuilds(k *kernel, proc, root string, log *slog.Logger) *builds {
	b := &builds{k: k, log: log, proc: proc, root: root, files: map[executable.ID]*build{}}
	b.self, _, _ = executable.Identify("/proc/self/exe") // the zero value is no file
	return b
}

// start probes the machine's own shells, so that one that begins is seen from
// its first prompt on, and then those that run.
func (b *builds) start() {
	for _, f := range b.probe(b.root) {
		f.resident = true
	}
	b.lookAtAll()
}

// probe probes the shells and readlines in the usual places below a root.
func (b *builds) probe(root string) []*build {
	var all []*build
	for _, pattern := range []string{
		"bin/bash", "usr/bin/bash", "usr/local/bin/bash", "bin/bash-static", "lib/*/libreadline.so*",
		"usr/lib/*/libreadline.so*", "lib64/libreadline.so*", "usr/lib64/libreadline.so*", "lib/libreadline.so*",
		"usr/lib/libreadline.so*", "usr/local/lib/libreadline.so*",
	} {
		paths, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are well-formed
		for _, path := range paths {
			if f := b.get(path, path); f != nil {
				all = append(all, f)
			}
		}
	}
	return all
}

// get returns the file at a path, looked into and probed once; nil for one that
// is not there. name is the path as the process has it.
func (b *builds) get(path, name string) *build {
	id, info, err := executable.Identify(path)
	if err != nil || id == b.self {
		return nil
	}
	f := b.files[id]
	if f != nil && f.size == info.Size() && f.mtime.Equal(info.ModTime()) {
		return f
	}
	if f != nil { // written over: the probes may stand in the wrong places
		uprobe.Detach(f.links)
	}
	if len(b.files) >= maxBuilds {
		b.forgetPlain()
	}
	f = &build{plan: inspect(path, name), size: info.Size(), mtime: info.ModTime()}
	b.files[id] = f
	if len(f.points) > 0 {
		if f.links, err = b.k.attach(path, f.points); err != nil {
			f.why = "probes cannot be attached: " + err.Error()
		}
	}
	if f.why != "" {
		b.log.Warn("a bash is not seen whole", "file", name, "why", f.why)
	}
	b.note()
	return f
}

// forgetPlain makes room: what has no probes is only a remembered look.
func (b *builds) forgetPlain() {
	for id, f := range b.files {
		if len(f.links) == 0 {
			delete(b.files, id)
		}
	}
}

// begun takes a process that began a program whose file the kernel does not
// know, or that loads its readline from a library.
func (b *builds) begun(pid uint32, key bpfFileKey) {
	b.tell(key, b.lookAt(pid))
}

// lookAt probes what a process runs or will load; it returns its program.
func (b *builds) lookAt(pid uint32) *build {
	dir := filepath.Join(b.proc, strconv.FormatUint(uint64(pid), 10))
	name, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil {
		return nil
	}
	f := b.get(filepath.Join(dir, "exe"), strings.TrimSuffix(name, " (deleted)"))
	if f == nil || !f.shell {
		return f
	}
	f.unused = 0
	if f.library {
		b.lookAtLibraries(pid, dir)
	}
	return f
}

// lookAtLibraries probes the readline that a process has mapped; one that has
// just begun will map one of those in its root.
func (b *builds) lookAtLibraries(pid uint32, dir string) {
	mapped := false
	if maps, err := executable.Mappings(b.proc, int(pid)); err == nil {
		for _, m := range maps {
			if !strings.HasPrefix(filepath.Base(m.Path), "libreadline.so") {
				continue
			}
			if f := b.get(m.Reach, m.Path); f != nil {
				f.unused, mapped = 0, true
			}
		}
	}
	if !mapped {
		b.probe(filepath.Join(dir, "root"))
	}
}

// tell lets the kernel know what a program is. It is false when the process has
// gone, or has begun another program meanwhile: bash -c ends in one. The size
// tells, since overlays show other inode numbers than the kernel has.
func (b *builds) tell(key bpfFileKey, f *build) bool {
	if f == nil || f.size != int64(key.Size) {
		return false
	}
	if err := b.k.learn(key, f.info); err != nil {
		b.log.Error("bash", "err", fmt.Errorf("remember a program: %w", err))
	}
	return true
}

// isShell decides on the program of a line that the kernel does not know yet.
// One that has gone is taken at its name.
func (b *builds) isShell(e *bpfBashEvent) bool {
	f := b.lookAt(e.Tgid)
	if !b.tell(e.File, f) {
		return isBash(comm(e.Comm[:]))
	}
	return f.shell
}

// lookAtAll looks at every process, and takes probes out of files that have had
// no process for long.
func (b *builds) lookAtAll() {
	entries, err := os.ReadDir(b.proc)
	if err != nil {
		b.log.Error("shells are not found", "err", err)
		return
	}
	for _, f := range b.files {
		f.unused++
	}
	for _, e := range entries {
		if pid, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			b.lookAt(uint32(pid))
		}
	}
	for id, f := range b.files {
		if f.unused > keepUnused && !f.resident {
			uprobe.Detach(f.links)
			delete(b.files, id)
		}
	}
	b.note()
}

func (b *builds) gone(pid uint32) bool {
	_, err := os.Stat(filepath.Join(b.proc, strconv.FormatUint(uint64(pid), 10)))
	return err != nil
}

// note counts for attached.
func (b *builds) note() {
	n := 0
	for _, f := range b.files {
		if len(f.links) > 0 {
			n++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probed = n
}

// attached is the number of files with probes. Safe to call at any time.
func (b *builds) attached() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.probed)
}

func (b *builds) close() {
	b.closing.Do(func() {
		var all []link.Link
		for _, f := range b.files {
			all = append(all, f.links...)
		}
		uprobe.Detach(all)
	})
}

func comm(name []int8) string {
	var out []byte
	for _, c := range name {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}
