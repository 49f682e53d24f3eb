// Package account names the users of processes as their own namespaces do: by
// the uid map of their user namespace and the passwd file of their root.
package account

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxPlaces bounds the roots that are remembered, and the namespaces.
	maxPlaces = 1024
	// recheck is how long a passwd file is taken without a look at it.
	recheck = time.Second
	// maxPasswd bounds what is read of a passwd file.
	maxPasswd = 4 << 20
)

// Place says where a process lives: the inode numbers of its mount and user
// namespaces and of its root directory.
type Place struct {
	MountNS, UserNS uint32
	Root            uint64
}

// Names knows users. It is safe for concurrent use.
type Names struct {
	proc, root string

	mu    sync.Mutex
	files map[rootKey]*passwd
	maps  map[uint32][]span
	host  rootKey
}

type rootKey struct {
	mntns uint32
	root  uint64
}

// passwd is a file as it was last read.
type passwd struct {
	names   map[uint32]string
	checked time.Time
	size    int64
	mtime   time.Time
}

// span is a line of uid_map.
type span struct{ inside, outside, count uint32 }

// New returns names of the processes below proc; root is where the machine's
// own / is mounted.
func New(proc, root string) *Names {
	n := &Names{proc: proc, root: root, files: map[rootKey]*passwd{}, maps: map[uint32][]span{}}
	if p, err := PlaceOf(proc, 1); err == nil {
		n.host = rootKey{p.MountNS, p.Root}
	}
	return n
}

// PlaceOf finds out where a process lives. It fails when that has gone.
func PlaceOf(proc string, pid uint32) (Place, error) {
	dir := filepath.Join(proc, strconv.FormatUint(uint64(pid), 10))
	mnt, err := namespace(filepath.Join(dir, "ns/mnt"))
	if err != nil {
		return Place{}, err
	}
	user, err := namespace(filepath.Join(dir, "ns/user"))
	if err != nil {
		return Place{}, err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, "root"), &st); err != nil {
		return Place{}, err
	}
	return Place{MountNS: mnt, UserNS: user, Root: st.Ino}, nil
}

// namespace reads a link such as mnt:[4026531841].
func namespace(path string) (uint32, error) {
	s, err := os.Readlink(path)
	if err != nil {
		return 0, err
	}
	_, s, _ = strings.Cut(s, "[")
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is no namespace", path)
	}
	return uint32(n), nil
}

// Name is the name of a user, by the kernel's uid, in the place of a process;
// its uid there in decimal when the place has no name for it. The process may
// have ended: then what its place was known for is taken.
func (n *Names) Name(pid uint32, at Place, uid uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	inside := n.inside(pid, at.UserNS, uid)
	if name := n.passwd(pid, rootKey{at.MountNS, at.Root})[inside]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(inside), 10)
}

// passwd returns the users of a root, read anew when the file has changed.
func (n *Names) passwd(pid uint32, key rootKey) map[uint32]string {
	f := n.files[key]
	if f != nil && time.Since(f.checked) < recheck {
		return f.names
	}
	path := filepath.Join(n.root, "etc/passwd")
	if key != n.host {
		if here, err := PlaceOf(n.proc, pid); err != nil || (rootKey{here.MountNS, here.Root}) != key {
			if f == nil {
				return nil // it has gone
			}
			return f.names
		}
		path = filepath.Join(n.proc, strconv.FormatUint(uint64(pid), 10), "root/etc/passwd")
	}
	if f == nil {
		if len(n.files) >= maxPlaces {
			clear(n.files)
		}
		f = &passwd{}
		n.files[key] = f
	}
	f.refresh(path)
	return f.names
}

func (f *passwd) refresh(path string) {
	f.checked = time.Now()
	file, err := os.Open(path)
	if err != nil {
		f.names = nil
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || f.names != nil && info.Size() == f.size && info.ModTime().Equal(f.mtime) {
		return
	}
	f.size, f.mtime, f.names = info.Size(), info.ModTime(), parsePasswd(io.LimitReader(file, maxPasswd))
}

// parsePasswd reads passwd(5); of two users with one uid the first counts.
func parsePasswd(r io.Reader) map[uint32]string {
	names := map[uint32]string{}
	for s := bufio.NewScanner(r); s.Scan(); {
		fields := strings.SplitN(s.Text(), ":", 4)
		if len(fields) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := names[uint32(uid)]; err == nil && !known {
			names[uint32(uid)] = strings.ToValidUTF8(fields[0], "\uFFFD")
		}
	}
	return names
}

// inside is what a uid of the kernel is in a user namespace.
func (n *Names) inside(pid, userns, uid uint32) uint32 {
	const initial = 0xeffffffd // PROC_USER_INIT_INO: it maps nothing
	if userns == initial {
		return uid
	}
	spans, known := n.maps[userns]
	if !known {
		dir := filepath.Join(n.proc, strconv.FormatUint(uint64(pid), 10))
		if ns, err := namespace(filepath.Join(dir, "ns/user")); err != nil || ns != userns {
			return uid
		}
		b, err := os.ReadFile(filepath.Join(dir, "uid_map"))
		if spans = parseMap(string(b)); err != nil || len(spans) == 0 {
			return uid // not written yet
		}
		if len(n.maps) >= maxPlaces {
			clear(n.maps)
		}
		n.maps[userns] = spans
	}
	for _, s := range spans {
		if uid-s.outside < s.count {
			return s.inside + (uid - s.outside)
		}
	}
	return 65534 // the overflow uid, which such a process sees
}

// parseMap reads uid_map: user_namespaces(7).
func parseMap(text string) []span {
	var all []span
	for line := range strings.Lines(text) {
		var s span
		if n, _ := fmt.Sscan(line, &s.inside, &s.outside, &s.count); n == 3 {
			all = append(all, s)
		}
	}
	return all
}
