package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// initPIDNS is the inode of the first pid namespace (PROC_PID_INIT_INO).
const initPIDNS = 0xEFFFFFFC

const (
	initial = "initial"
	nested  = "nested"
)

// namespace tells whether this process is in the machine's first namespace of
// the kind, which has a fixed inode number.
func (p Paths) namespace(kind string, first uint64) Fact {
	link, err := os.Readlink(filepath.Join(p.Proc, "self/ns", kind))
	if err != nil {
		return Fact{unknown, err.Error()}
	}
	number := strings.TrimSuffix(strings.TrimPrefix(link, kind+":["), "]")
	ino, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Fact{unknown, "unexpected link " + link}
	}
	if ino == first {
		return Fact{Value: initial}
	}
	return Fact{nested, link}
}

// pidsMatch tells whether HOST_PROC numbers processes as BPF does, which sees
// the pids of the first namespace: there pid 2 is kthreadd.
func (p Paths) pidsMatch() Fact {
	if strings.TrimSpace(p.read(p.HostProc, "2/comm")) == "kthreadd" {
		return Fact{yes, p.HostProc + " shows the machine's processes"}
	}
	return Fact{no, p.HostProc + " shows a container's processes: share the host's pid namespace, " +
		"or mount the machine's /proc and set HOST_PROC"}
}

// netNamespace tells the machine's network namespace from a container's by a
// sysctl that only the first one has.
func (p Paths) netNamespace() Fact {
	core := filepath.Join(p.Proc, "sys/net/core")
	switch {
	case exists(filepath.Join(core, "netdev_max_backlog")):
		return Fact{Value: initial}
	case isDir(core):
		return Fact{nested, "a container's network"}
	}
	return Fact{unknown, "no /proc/sys/net/core"}
}

func (p Paths) nsDevice() Fact {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(p.Proc, "self/ns/net"), &st); err != nil {
		return Fact{unknown, fmt.Sprintf("stat /proc/self/ns/net: %v", err)}
	}
	return Fact{Value: strconv.FormatUint(st.Dev, 10)}
}
