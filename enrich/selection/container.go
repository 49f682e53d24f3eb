package selection

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// container is what a cgroup's path says of the container it belongs to.
// Engines put either an id or a name there; neither: it is none.
type container struct{ id, name string }

var (
	// containerID is a part of a path with an id: docker-ID, cri-containerd-ID,
	// crio-ID, libpod-ID, or the id alone; on Fargate a task's id and a number.
	containerID = regexp.MustCompile(`^(?:[a-z-]+-)?([0-9a-f]{64}|[0-9a-f]{32}-[0-9]{6,})$`)
	// machine is a part with a name given to systemd-machined.
	machine = regexp.MustCompile(`^(?:machine-|systemd-nspawn@)(.+)\.(?:scope|service)$`)
)

// Container is the id of the container that a process is in, or its name where
// the cgroup has only that; "" for none. It is false when the process has gone.
func Container(proc string, pid uint32) (string, bool) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.FormatUint(uint64(pid), 10), "cgroup"))
	if err != nil || len(b) == 0 {
		return "", false
	}
	for _, path := range cgroupPaths(string(b)) {
		if c := containerOf(path); c != (container{}) {
			return cmp.Or(c.id, c.name), true
		}
	}
	return "", true
}

// cgroupPaths are the third column of /proc/PID/cgroup.
func cgroupPaths(text string) []string {
	var paths []string
	for line := range strings.Lines(text) {
		if cols := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(cols) == 3 {
			paths = append(paths, strings.TrimSuffix(cols[2], " (deleted)"))
		}
	}
	return paths
}

// containerOf returns the innermost container on the path. What watches a
// container from outside (conmon, lxc.monitor, nspawn's supervisor) is not in it.
func containerOf(path string) container {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i > 0; i-- {
		if c := containerAt(parts[i-1], parts[i]); c != (container{}) {
			return c
		}
		if parts[i] == "supervisor" && machine.MatchString(parts[i-1]) {
			return container{}
		}
	}
	return container{}
}

func containerAt(parent, part string) container {
	unit := strings.TrimSuffix(part, ".scope")
	// containerd without systemd's driver: POD.slice:cri-containerd:ID.
	if colon := strings.LastIndexByte(unit, ':'); colon >= 0 {
		unit = unit[colon+1:]
	}
	if m := containerID.FindStringSubmatch(unit); m != nil {
		if strings.Contains(unit, "conmon") {
			return container{}
		}
		return container{id: m[1]}
	}
	if m := machine.FindStringSubmatch(part); m != nil {
		name := strings.ReplaceAll(m[1], `\x2d`, "-")
		if strings.HasPrefix(name, "qemu-") {
			return container{} // a virtual machine
		}
		return container{name: name}
	}
	if name, ok := strings.CutPrefix(part, "lxc.payload."); ok {
		return container{name: name}
	}
	if parent == "lxc" || parent == "lxc.payload" {
		return container{name: part}
	}
	return container{}
}
