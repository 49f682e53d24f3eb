package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// btf tells whether the kernel describes its own types, without which no
// program that reads kernel structures can be loaded.
func (p Paths) btf() Fact {
	f, err := os.Open(filepath.Join(p.Sys, "kernel/btf/vmlinux"))
	switch {
	case err == nil:
		f.Close()
		return Fact{Value: yes}
	case os.IsNotExist(err):
		return Fact{no, "no /sys/kernel/btf/vmlinux: built without CONFIG_DEBUG_INFO_BTF"}
	}
	return Fact{no, err.Error()}
}

// lockdown reads the mode in brackets of "none [integrity] confidentiality".
func (p Paths) lockdown() Fact {
	text := p.read(p.Sys, "kernel/security/lockdown")
	if _, rest, ok := strings.Cut(text, "["); ok {
		mode, _, _ := strings.Cut(rest, "]")
		return Fact{Value: mode}
	}
	if !p.mounted("securityfs") {
		return Fact{unknown, "securityfs not mounted"}
	}
	return Fact{"none", "the kernel has no lockdown"}
}

func (p Paths) selinux() Fact {
	context := strings.Trim(p.read(p.Proc, "self/attr/current"), "\x00\n ")
	switch strings.TrimSpace(p.read(p.Sys, "fs/selinux/enforce")) {
	case "1":
		return Fact{"enforcing", "this process is " + context}
	case "0":
		return Fact{"permissive", "this process is " + context}
	}
	if strings.Contains(p.read(p.Proc, "filesystems"), "selinuxfs") {
		return Fact{unknown, "selinuxfs not mounted"}
	}
	return Fact{Value: "absent"}
}

func (p Paths) apparmor() Fact {
	if !strings.HasPrefix(p.read(p.Sys, "module/apparmor/parameters/enabled"), "Y") {
		return Fact{Value: "absent"}
	}
	// The first file is there from Linux 5.8 on and is not shared with SELinux.
	for _, path := range []string{"self/attr/apparmor/current", "self/attr/current"} {
		if profile := strings.Trim(p.read(p.Proc, path), "\x00\n "); profile != "" {
			return Fact{Value: profile}
		}
	}
	return Fact{unknown, "cannot read /proc/self/attr/current"}
}

// memlock is the soft limit of locked memory, which BPF memory counted
// against before Linux 5.11 (commit 755e5d55367a).
func (p Paths) memlock(matters bool) Fact {
	for line := range strings.Lines(p.read(p.Proc, "self/limits")) {
		rest, ok := strings.CutPrefix(line, "Max locked memory")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			break
		}
		if matters {
			return Fact{bytesText(fields[0]), "BPF memory counts against it before Linux 5.11"}
		}
		return Fact{bytesText(fields[0]), "does not matter from Linux 5.11 on"}
	}
	return Fact{unknown, "no such line in /proc/self/limits"}
}

func bytesText(s string) string {
	if s == "unlimited" {
		return s
	}
	return s + " bytes"
}

func (p Paths) mounted(fsType string) bool {
	return p.mountPoint(fsType) != ""
}

// mountPoint is the first place where a file system of the type is mounted.
func (p Paths) mountPoint(fsType string) string {
	for _, m := range p.mounts() {
		if m.fsType == fsType {
			return m.point
		}
	}
	return ""
}

func (p Paths) mounts() []mount { return parseMounts(p.read(p.Proc, "self/mountinfo")) }

// cgroup tells how control groups are mounted, and where version 2 is, to
// which cgroup programs attach.
func (p Paths) cgroup() (mode, where Fact) {
	mounts := p.mounts()
	has := func(fsType string) bool {
		return slices.ContainsFunc(mounts, func(m mount) bool { return m.fsType == fsType })
	}
	switch v1, v2 := has("cgroup"), has("cgroup2"); {
	case v1 && v2:
		mode.Value = "hybrid"
	case v2:
		mode.Value = "v2"
	case v1:
		mode.Value = "v1"
	default:
		mode = Fact{"none", "no cgroup file system is mounted"}
	}
	if ns := p.namespace("cgroup", initCgroupNS); ns.Value == nested {
		mode.Why = "in a cgroup namespace: its root is not the machine's"
	}
	where = Fact{Value: p.mountPoint("cgroup2")}
	if where.Value == "" {
		where = Fact{"none", "a detached mount is used instead"}
	}
	return mode, where
}

// sysctl gives the words for the values of a sysctl.
func (p Paths) sysctl(path string, words map[string]Fact) Fact {
	v := strings.TrimSpace(p.read(p.Proc, filepath.Join("sys", path)))
	if v == "" {
		return Fact{unknown, fmt.Sprintf("no /proc/sys/%s", path)}
	}
	if f, ok := words[v]; ok {
		return f
	}
	return Fact{Value: v}
}

func (p Paths) jit() Fact {
	return p.sysctl("net/core/bpf_jit_enable", map[string]Fact{
		"0": {"off", "programs are interpreted, several times slower: set net.core.bpf_jit_enable=1"},
		"1": {Value: "on"},
		"2": {"on", "with debug output in the kernel log"},
	})
}

func (p Paths) unprivileged() Fact {
	return p.sysctl("kernel/unprivileged_bpf_disabled", map[string]Fact{
		"0": {Value: "allowed"},
		"1": {"forbidden", "until the next boot"},
		"2": {Value: "forbidden"},
	})
}

func (p Paths) runStats() Fact {
	return p.sysctl("kernel/bpf_stats_enabled", map[string]Fact{
		"0": {Value: "off"},
		"1": {"on", "costs every program some 20-50 ns a run"},
	})
}
