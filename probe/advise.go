package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Advise says in one line what a person can do about a missing or second-best
// door, door by door; "" when the best door is in use. It only reasons from
// what it is given.
func Advise(c Capability, f Facts) string {
	var said []string
	doors := map[string][]string{}
	for _, a := range c.Failed {
		r := remedy(a, f)
		if r == "" {
			continue
		}
		if doors[r] == nil {
			said = append(said, r)
		}
		if m := mechanism(a.Door); !slices.Contains(doors[r], m) {
			doors[r] = append(doors[r], m)
		}
	}
	for i, r := range said {
		said[i] = strings.Join(doors[r], ", ") + ": " + r
	}
	if len(said) == 0 && !c.OK() {
		return "no remedy known: please report it with the output of `weft doctor --json`"
	}
	return strings.Join(said, "; ")
}

// mechanism is the first word of a door: "tp_btf" of "tp_btf sock_send_length".
func mechanism(door string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(door), " ")
	return word
}

// remedy goes from the certain causes to the probable ones.
func remedy(a Attempt, f Facts) string {
	m := mechanism(a.Door)
	for _, cause := range []func(mechanism, why string, f Facts) string{
		notBuilt, container, noRight, noTracefs, noMemory, tooOld,
	} {
		if r := cause(m, a.Why, f); r != "" {
			return r
		}
	}
	return ""
}

// notBuilt: the kernel was compiled without it, so no right helps.
func notBuilt(m, _ string, f Facts) string {
	switch {
	case is(m, "kprobe", "kretprobe") && f.Kprobes.Value == no:
		return "this kernel is built without CONFIG_KPROBES; only another kernel has it"
	case is(m, "uprobe", "uretprobe") && f.Uprobes.Value == no:
		return "this kernel is built without CONFIG_UPROBES; only another kernel has it"
	case needsBTF(m) && f.BTF.Value == no:
		return "the kernel has no BTF: use one built with CONFIG_DEBUG_INFO_BTF=y"
	}
	return ""
}

// container: the door is there, but not where this process stands.
func container(_, why string, _ Facts) string {
	if strings.Contains(why, "container's cgroup") {
		return "run in the machine's cgroup namespace (docker --cgroupns=host), " +
			"or share the host's pid namespace and grant CAP_SYS_ADMIN"
	}
	return ""
}

// noRight: the kernel refused. EACCES is also how the verifier says no, so
// it only counts with a capability missing.
func noRight(m, why string, f Facts) string {
	refused := strings.Contains(why, "operation not permitted")
	if !refused && !strings.Contains(why, "permission denied") {
		return ""
	}
	if r := grant(m, f); r != "" {
		return r
	}
	if !refused {
		return ""
	}
	switch {
	case f.before(5, 11) && f.Capabilities.lacks("CAP_SYS_RESOURCE") && f.Memlock.Value != "unlimited":
		return "raise the memlock limit (LimitMEMLOCK=infinity, ulimit -l unlimited) or grant CAP_SYS_RESOURCE"
	case f.Lockdown.Value == "confidentiality" && is(m, tracing()...):
		return "lockdown=confidentiality forbids BPF to read kernel memory: boot with lockdown=integrity"
	case f.SELinux.Value == "enforcing":
		return "SELinux may deny it: `ausearch -m avc -ts recent` shows; allow this domain the class bpf"
	case strings.HasSuffix(f.AppArmor.Value, "(enforce)"):
		return "the AppArmor profile " + f.AppArmor.Value + " may deny it: run unconfined or allow capability bpf"
	}
	return fmt.Sprintf("the kernel refuses it although no capability is missing (lockdown: %s): "+
		"a policy of this kernel, nothing to do", f.Lockdown.Value)
}

// grant names the capabilities that the door needs and this process lacks.
func grant(m string, f Facts) string {
	var names []string
	withheld := false
	for _, missing := range f.Capabilities.Missing {
		if slices.Contains(needs(m, f), missing.Name) {
			names = append(names, missing.Name)
			withheld = withheld || !missing.Obtainable
		}
	}
	if len(names) == 0 {
		return ""
	}
	how := "setcap, AmbientCapabilities= or securityContext.capabilities.add"
	if withheld {
		how = "the container or service unit withholds it: capabilities.add, CapabilityBoundingSet="
	}
	return fmt.Sprintf("grant %s (%s)", strings.Join(names, " and "), how)
}

// needs lists the capabilities a mechanism asks for.
func needs(m string, f Facts) []string {
	if is(m, "af_packet", "packet") {
		return []string{"CAP_NET_RAW"}
	}
	if is(m, "netlink", "ctnetlink", "conntrack") {
		return []string{"CAP_NET_ADMIN"}
	}
	if is(m, "/proc", "proc", "procfs") {
		return []string{"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}
	}
	load := []string{"CAP_BPF"}
	if f.before(5, 8) {
		load = []string{"CAP_SYS_ADMIN"}
	}
	if is(m, tracing()...) {
		return append(load, "CAP_PERFMON")
	}
	return append(load, "CAP_NET_ADMIN")
}

func noTracefs(m, why string, f Facts) string {
	missing := f.Tracefs.Value == "not mounted" || strings.Contains(why, "nor tracefs are mounted")
	if missing && is(m, "tracepoint") {
		return "mount it: mount -t tracefs tracefs /sys/kernel/tracing"
	}
	return ""
}

func noMemory(_, why string, _ Facts) string {
	if strings.Contains(why, "cannot allocate memory") {
		return "the kernel has not memory enough for the maps: lower the table sizes or raise the memory limit"
	}
	return ""
}

// tooOld: what the kernel says about a thing it does not know differs.
func tooOld(_, why string, f Facts) string {
	for _, sign := range []string{
		"not supported", "not found", "no such file", "invalid argument", "unknown func", "bad CO-RE relocation",
	} {
		if strings.Contains(why, sign) {
			return fmt.Sprintf("Linux %s does not have it; a newer kernel may", f.Kernel)
		}
	}
	return ""
}

// tracing are the mechanisms that CAP_PERFMON guards.
func tracing() []string {
	return []string{"tp_btf", "fentry", "fexit", "kprobe", "kretprobe", "uprobe", "uretprobe", "raw_tp",
		"tracepoint", "iter"}
}

func needsBTF(m string) bool { return is(m, "tp_btf", "fentry", "fexit", "iter", "raw_tp", "kprobe") }

// is tells whether a mechanism is one of the names or a variant of one, such
// as kprobe.multi, uprobe_multi or iter/task_file.
func is(m string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		rest, ok := strings.CutPrefix(m, name)
		return ok && (rest == "" || strings.ContainsAny(rest[:1], "._/+,"))
	})
}
