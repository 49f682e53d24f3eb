// Package executable looks into the files that processes run and map: which
// they are, where functions begin and return, also in stripped ones. Sources
// put their probes there.
package executable

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ID names a file whatever its path is: containers share files, and an
// upgraded library has the path of the one that still runs.
type ID struct{ Dev, Ino uint64 }

// Identify tells which file is at a path. It fails when that is no regular file.
func Identify(path string) (ID, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return ID{}, nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return ID{}, nil, fmt.Errorf("%s is no regular file", path)
	}
	return ID{uint64(st.Dev), st.Ino}, info, nil
}

// Mapping is a file that a process has mapped to execute.
type Mapping struct {
	Path  string // as the process sees it, without " (deleted)"
	Reach string // where we can open it
	Exe   bool
}

// Mappings lists the files that the process maps executable. They are reached
// through map_files, which leads to the very file also when it was deleted or
// lies in another mount namespace; without the right to use that, by path.
func Mappings(proc string, pid int) ([]Mapping, error) {
	dir := filepath.Join(proc, fmt.Sprint(pid))
	f, err := os.Open(filepath.Join(dir, "maps"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	exe, _ := os.Readlink(filepath.Join(dir, "exe")) // "" for a kernel thread, which maps nothing
	exe = strings.TrimSuffix(exe, " (deleted)")
	var all []Mapping
	seen := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.SplitN(s.Text(), " ", 6)
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' {
			continue
		}
		path := strings.TrimLeft(fields[5], " ")
		if !strings.HasPrefix(path, "/") || seen[path] {
			continue
		}
		seen[path] = true
		m := Mapping{Path: strings.TrimSuffix(path, " (deleted)"), Reach: filepath.Join(dir, "map_files", fields[0])}
		m.Exe = m.Path == exe
		if m.Exe {
			m.Reach = filepath.Join(dir, "exe")
		} else if _, err := os.Stat(m.Reach); err != nil {
			m.Reach = filepath.Join(dir, "root", m.Path)
		}
		all = append(all, m)
	}
	return all, nil
}
