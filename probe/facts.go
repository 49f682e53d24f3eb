package probe

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Fact is one finding about the running system, with the reason where the
// value alone does not tell enough.
type Fact struct {
	// Value is short: "yes", "no", "unknown" or the thing itself.
	Value string `json:"value"`
	// Why the value is so or could not be had; "" when it needs no word.
	Why string `json:"why,omitempty"`
}

// The values of facts that are a question.
const (
	yes     = "yes"
	no      = "no"
	unknown = "unknown"
)

// String is "value (why)".
func (f Fact) String() string {
	if f.Why == "" {
		return f.Value
	}
	return f.Value + " (" + f.Why + ")"
}

// Facts is what `weft doctor` says about the machine and about the rights of
// this process. Gathering changes nothing: no mount, no program, no sysctl.
type Facts struct {
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`

	BTF      Fact `json:"btf"`
	Lockdown Fact `json:"lockdown"`
	SELinux  Fact `json:"selinux"`
	AppArmor Fact `json:"apparmor"`

	Capabilities CapabilitySet `json:"capabilities"`
	Memlock      Fact          `json:"memlock"`

	// Cgroup is v1, hybrid, v2 or none; CgroupMount is where cgroup2 is.
	Cgroup      Fact `json:"cgroup"`
	CgroupMount Fact `json:"cgroup2_mount"`

	Kprobes Fact `json:"kprobes"`
	Uprobes Fact `json:"uprobes"`
	Tracefs Fact `json:"tracefs"`

	JIT             Fact `json:"bpf_jit"`
	UnprivilegedBPF Fact `json:"unprivileged_bpf"`
	RunStats        Fact `json:"bpf_run_stats"`

	// PIDNamespace and NetNamespace are initial, nested or unknown. PIDsMatch
	// tells whether the pids that BPF sees are those of HOST_PROC.
	PIDNamespace Fact `json:"pid_namespace"`
	PIDsMatch    Fact `json:"pids_match_proc"`
	NetNamespace Fact `json:"net_namespace"`
	// NSDevice is the device number of nsfs, as in NS(<dev>:<ino>).
	NSDevice Fact `json:"ns_device"`
}

// Paths are the trees that facts are read from.
type Paths struct {
	// Proc describes this process; HostProc describes the machine's processes.
	Proc, HostProc string
	Sys            string
}

// SystemPaths are the trees of the running system. A container that mounts the
// machine's file systems elsewhere says so with HOST_PROC and HOST_SYS, or
// with HOST_ROOT for both.
func SystemPaths() Paths {
	return Paths{Proc: "/proc", HostProc: hostProc(), Sys: hostPath("HOST_SYS", "/sys")}
}

// hostProc is where the machine's /proc is seen.
func hostProc() string { return hostPath("HOST_PROC", "/proc") }

func hostPath(env, path string) string {
	if p := os.Getenv(env); p != "" {
		return p
	}
	if root := os.Getenv("HOST_ROOT"); root != "" {
		// A pod may mount only a part of the machine there.
		if p := filepath.Join(root, path); isDir(p) {
			return p
		}
	}
	return path
}

// Gather reads every fact. It never fails: what cannot be read is unknown or
// absent, with the reason.
func Gather(p Paths) Facts {
	release := strings.TrimSpace(p.read(p.Proc, "sys/kernel/osrelease"))
	f := Facts{
		Kernel:          release,
		Arch:            runtime.GOARCH,
		BTF:             p.btf(),
		Lockdown:        p.lockdown(),
		SELinux:         p.selinux(),
		AppArmor:        p.apparmor(),
		Kprobes:         p.probePMU("kprobe"),
		Uprobes:         p.probePMU("uprobe"),
		Tracefs:         p.tracefs(),
		JIT:             p.jit(),
		UnprivilegedBPF: p.unprivileged(),
		RunStats:        p.runStats(),
		PIDNamespace:    p.namespace("pid", initPIDNS),
		PIDsMatch:       p.pidsMatch(),
		NetNamespace:    p.netNamespace(),
		NSDevice:        p.nsDevice(),
	}
	old := f.before(5, 8)
	f.Capabilities = p.capabilities(old, f.before(5, 11))
	f.Memlock = p.memlock(f.before(5, 11))
	f.Cgroup, f.CgroupMount = p.cgroup()
	return f
}

// before tells whether the kernel is older than major.minor; false when its
// release could not be read.
func (f Facts) before(major, minor int) bool {
	a, rest, _ := strings.Cut(f.Kernel, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	haveMajor, err1 := strconv.Atoi(a)
	haveMinor, err2 := strconv.Atoi(rest[:end])
	if err1 != nil || err2 != nil {
		return false
	}
	return haveMajor < major || haveMajor == major && haveMinor < minor
}

// read returns a small file's text, or "" when it cannot be read.
func (p Paths) read(root, path string) string {
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return ""
	}
	return string(b)
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
