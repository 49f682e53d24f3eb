package tls

import (
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/link"

	"weft/probe/executable"
	"weft/probe/uprobe"
)

// How long probes stay in a file that no process maps, so that the next run of
// a program finds them there: a day, or as long as it is one of the latest
// maxUnused, if it still has a name; else it is soon let go, with its blocks on
// the disk.
const (
	keepUnused  = 24 * time.Hour
	keepDeleted = 5 * time.Minute
	maxUnused   = 256
)

// maxFiles bounds the files that are remembered; most are libraries without TLS.
const maxFiles = 1 << 16

// file is a program or library that was looked into.
type file struct {
	id    executable.ID
	size  int64
	mtime time.Time
	path  string // by which it was found, "" when we cannot reach it by that
	plan  *plan
	links []link.Link
	// why probes could not be attached.
	why string
	// users are the processes that map it; idle is when the last one went.
	users map[int]bool
	idle  time.Time
	// resident files keep their probes: the system's own libraries.
	resident bool
}

func (f *file) attached() bool { return len(f.links) > 0 }

func (f *file) reason() string {
	if f.plan.why != "" {
		return f.plan.why
	}
	return f.why
}

// files holds every file once.
type files struct {
	k    *kernel
	all  map[executable.ID]*file
	self executable.ID // the collector is never probed
	// probed counts the files with probes.
	probed atomic.Int64
}

func newFiles(k *kernel) *files {
	fs := &files{k: k, all: map[executable.ID]*file{}}
	if id, _, err := executable.Identify("/proc/self/exe"); err == nil {
		fs.self = id
	}
	return fs
}

// get returns the file at a path, looked into once. It is nil for one that is
// not there any more.
func (fs *files) get(path string, exe bool) *file {
	id, info, err := executable.Identify(path)
	if err != nil {
		return nil
	}
	f := fs.all[id]
	if f != nil && f.size == info.Size() && f.mtime.Equal(info.ModTime()) {
		return f
	}
	if f != nil { // written over: the probes may stand in the wrong places
		fs.detach(f)
	}
	if len(fs.all) >= maxFiles {
		fs.forgetUnused()
	}
	f = &file{id: id, size: info.Size(), mtime: info.ModTime(), users: map[int]bool{}, idle: time.Now()}
	f.path, _ = filepath.EvalSymlinks(path) // what it is in another root is told apart by nameless
	f.plan = inspect(path, exe)
	fs.all[id] = f
	return f
}

// forgetUnused makes room: what has no probes is only a remembered look.
func (fs *files) forgetUnused() {
	for id, f := range fs.all {
		if !f.attached() && len(f.users) == 0 {
			delete(fs.all, id)
		}
	}
}

// attach puts the probes into a file that has points for them.
func (fs *files) attach(f *file, path string) {
	if f.attached() || len(f.plan.points) == 0 || f.why != "" {
		return
	}
	links, err := fs.k.attach(path, f.plan.points, 0)
	if err != nil {
		if _, gone := os.Stat(path); gone == nil {
			f.why = "probes cannot be attached: " + err.Error()
		}
		return
	}
	f.links = links
	fs.probed.Add(1)
}

func (fs *files) detach(f *file) {
	if f.attached() {
		uprobe.Detach(f.links)
		f.links = nil
		fs.probed.Add(-1)
	}
}

// nameless tells whether a file was deleted, or cannot be reached by its path.
func (f *file) nameless() bool {
	id, _, err := executable.Identify(f.path)
	return err != nil || id != f.id
}

func (fs *files) use(f *file, pid int) { f.users[pid] = true }

func (fs *files) leave(f *file, pid int) {
	delete(f.users, pid)
	if len(f.users) == 0 {
		f.idle = time.Now()
	}
}

// inUse tells whether some process maps a file with probes.
func (fs *files) inUse() bool {
	for _, f := range fs.all {
		if f.attached() && len(f.users) > 0 {
			return true
		}
	}
	return false
}

// detachUnused takes the probes out of files that nobody has mapped for long.
func (fs *files) detachUnused(now time.Time) {
	var kept []*file
	for id, f := range fs.all {
		unused := now.Sub(f.idle)
		switch {
		case f.resident || len(f.users) > 0 || unused < keepDeleted:
		case unused >= keepUnused || !f.attached() || f.nameless():
			fs.detach(f)
			delete(fs.all, id)
		default:
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b *file) int { return b.idle.Compare(a.idle) })
	for _, f := range kept[min(maxUnused, len(kept)):] {
		fs.detach(f)
		delete(fs.all, f.id)
	}
}

// attachSystem puts probes into the TLS libraries of the machine before any
// process maps them: a client that lives for some milliseconds is seen whole.
// A probe in a file that nobody runs costs nothing.
func (fs *files) attachSystem(root string) {
	for _, dir := range []string{
		"lib/*-linux-gnu", "usr/lib/*-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib",
	} {
		for _, lib := range []string{"libssl.so*", "libgnutls.so*"} {
			paths, _ := filepath.Glob(filepath.Join(root, dir, lib)) // the patterns are well-formed
			for _, path := range paths {
				if f := fs.get(path, false); f != nil && !f.attached() {
					f.resident = true
					fs.attach(f, path)
				}
			}
		}
	}
}

func (fs *files) close() {
	var all []link.Link
	for _, f := range fs.all {
		all = append(all, f.links...)
	}
	uprobe.Detach(all)
}
