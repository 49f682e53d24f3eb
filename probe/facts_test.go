package probe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// tree is a small /proc and /sys; a value with a leading "->" is a link and
// one that ends in "/" a directory.
type tree map[string]string

// paths writes the trees on top of each other.
func paths(t *testing.T, trees ...tree) Paths {
	t.Helper()
	root := t.TempDir()
	for _, tr := range trees {
		for name, text := range tr {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := place(path, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Paths{Proc: root + "/proc", HostProc: root + "/proc", Sys: root + "/sys"}
}

func place(path, text string) error {
	if target, ok := strings.CutPrefix(text, "->"); ok {
		return os.Symlink(target, path)
	}
	if text == "/" {
		return os.MkdirAll(path, 0o755)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// host is a Debian machine and root in its first namespaces.
func host() tree {
	return tree{
		"proc/sys/kernel/osrelease": "6.12.107+deb13-cloud-amd64\n",
		"proc/self/mountinfo": "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n" +
			"31 23 0:6 / /sys/kernel/security rw - securityfs securityfs rw\n" +
			"32 23 0:12 / /sys/kernel/tracing rw - tracefs tracefs rw\n",
		"proc/self/status": "Name:\tweft\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n" +
			"CapBnd:\t000001ffffffffff\n",
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
			"Max locked memory         8388608              8388608              bytes     \n",
		"proc/self/ns/pid":                          "->pid:[4026531836]",
		"proc/self/ns/cgroup":                       "->cgroup:[4026531835]",
		"proc/self/ns/net":                          "",
		"proc/2/comm":                               "kthreadd\n",
		"proc/filesystems":                          "nodev\tsysfs\n",
		"proc/sys/net/core/netdev_max_backlog":      "1000\n",
		"proc/sys/net/core/bpf_jit_enable":          "1\n",
		"proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
		"proc/sys/kernel/bpf_stats_enabled":         "0\n",
		"sys/kernel/btf/vmlinux":                    "",
		"sys/kernel/security/lockdown":              "none [integrity] confidentiality\n",
		"sys/bus/event_source/devices/kprobe":       "/",
		"sys/bus/event_source/devices/uprobe":       "/",
	}
}

func TestGatherHost(t *testing.T) {
	f := Gather(paths(t, host()))
	for _, tt := range []struct {
		name string
		got  Fact
		want string
	}{
		{"btf", f.BTF, "yes"},
		{"lockdown", f.Lockdown, "integrity"},
		{"selinux", f.SELinux, "absent"},
		{"apparmor", f.AppArmor, "absent"},
		{"memlock", f.Memlock, "8388608 bytes (does not matter from Linux 5.11 on)"},
		{"cgroup", f.Cgroup, "v2"},
		{"cgroup2", f.CgroupMount, "/sys/fs/cgroup"},
		{"kprobes", f.Kprobes, "yes"},
		{"uprobes", f.Uprobes, "yes"},
		{"tracefs", f.Tracefs, "/sys/kernel/tracing"},
		{"jit", f.JIT, "on"},
		{"unprivileged", f.UnprivilegedBPF, "forbidden"},
		{"stats", f.RunStats, "off"},
		{"pidns", f.PIDNamespace, "initial"},
		{"netns", f.NetNamespace, "initial"},
	} {
		if tt.got.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if f.Kernel != "6.12.107+deb13-cloud-amd64" || f.PIDsMatch.Value != yes || len(f.Capabilities.Missing) != 0 {
		t.Errorf("%+v", f)
	}
	if n := len(f.Capabilities.Effective); n != 41 {
		t.Errorf("%d capabilities, want 41", n)
	}
}

// TestGatherVariants changes one thing of the host at a time.
func TestGatherVariants(t *testing.T) {
	for _, tt := range []struct {
		name string
		with tree
		drop []string
		got  func(Facts) string
		want string
	}{
		{"hybrid", tree{"proc/self/mountinfo": "1 1 0:1 / /c/cpu rw - cgroup cgroup rw,cpu\n" +
			"1 1 0:1 / /c/unified rw - cgroup2 cgroup2 rw\n"}, nil,
			func(f Facts) string { return f.Cgroup.String() + " " + f.CgroupMount.String() }, "hybrid /c/unified"},
		{"v1", tree{"proc/self/mountinfo": "1 1 0:1 / /c/cpu rw - cgroup cgroup rw,cpu\n"}, nil,
			func(f Facts) string { return f.Cgroup.String() + " " + f.CgroupMount.Value }, "v1 none"},
		{"cgroup namespace", tree{"proc/self/ns/cgroup": "->cgroup:[4026532999]"}, nil,
			func(f Facts) string { return f.Cgroup.String() }, "v2 (in a cgroup namespace: its root is not the machine's)"},
		{"no securityfs", tree{"proc/self/mountinfo": ""}, []string{"sys/kernel/security/lockdown"},
			func(f Facts) string { return f.Lockdown.String() }, "unknown (securityfs not mounted)"},
		{"no lockdown", nil, []string{"sys/kernel/security/lockdown"},
			func(f Facts) string { return f.Lockdown.String() }, "none (the kernel has no lockdown)"},
		{"no BTF", nil, []string{"sys/kernel/btf/vmlinux"},
			func(f Facts) string { return f.BTF.Value }, "no"},
		{"no kprobes", nil, []string{"sys/bus/event_source/devices/kprobe"},
			func(f Facts) string { return f.Kprobes.String() }, "no (built without CONFIG_KPROBE_EVENTS)"},
		{"kprobes by tracefs", tree{"sys/kernel/tracing/kprobe_events": ""},
			[]string{"sys/bus/event_source/devices/kprobe"},
			func(f Facts) string { return f.Kprobes.String() }, "yes (through tracefs)"},
		{"no sysfs", nil, []string{"sys"},
			func(f Facts) string { return f.Uprobes.String() }, "unknown (no /sys/bus/event_source)"},
		{"no tracefs", tree{"proc/self/mountinfo": ""}, nil,
			func(f Facts) string { return f.Tracefs.Value }, "not mounted"},
		{"SELinux enforcing", tree{"sys/fs/selinux/enforce": "1", "proc/self/attr/current": "u:r:weft_t:s0\x00"}, nil,
			func(f Facts) string { return f.SELinux.String() }, "enforcing (this process is u:r:weft_t:s0)"},
		{"SELinux permissive", tree{"sys/fs/selinux/enforce": "0"}, nil,
			func(f Facts) string { return f.SELinux.Value }, "permissive"},
		{"SELinux hidden", tree{"proc/filesystems": "nodev\tselinuxfs\n"}, nil,
			func(f Facts) string { return f.SELinux.String() }, "unknown (selinuxfs not mounted)"},
		{"AppArmor", tree{"sys/module/apparmor/parameters/enabled": "Y\n",
			"proc/self/attr/current": "docker-default (enforce)\n"}, nil,
			func(f Facts) string { return f.AppArmor.String() }, "docker-default (enforce)"},
		{"old kernel", tree{"proc/sys/kernel/osrelease": "5.10.0-28-amd64"}, nil,
			func(f Facts) string { return f.Memlock.Why }, "BPF memory counts against it before Linux 5.11"},
		{"nested pids", tree{"proc/self/ns/pid": "->pid:[4026532222]", "proc/2/comm": "nginx\n"}, nil,
			func(f Facts) string { return f.PIDNamespace.Value + " " + f.PIDsMatch.Value }, "nested no"},
		{"container network", nil, []string{"proc/sys/net/core/netdev_max_backlog"},
			func(f Facts) string { return f.NetNamespace.Value }, "nested"},
		{"JIT off", tree{"proc/sys/net/core/bpf_jit_enable": "0"}, nil,
			func(f Facts) string { return f.JIT.Value }, "off"},
		{"strange namespace", tree{"proc/self/ns/pid": "->pid:[x]"}, nil,
			func(f Facts) string { return f.PIDNamespace.String() }, "unknown (unexpected link pid:[x])"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := host()
			for k := range base {
				_, replaced := tt.with[k]
				for _, d := range tt.drop {
					replaced = replaced || strings.HasPrefix(k, d)
				}
				if replaced {
					delete(base, k)
				}
			}
			base["proc/keep"], base["sys/keep"] = "", ""
			if got := tt.got(Gather(paths(t, base, tt.with))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestGatherNothing: with no file at all every fact has a value.
func TestGatherNothing(t *testing.T) {
	f := Gather(paths(t))
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if fact, ok := v.Field(i).Interface().(Fact); ok && (fact.Value == "" || fact.Value == yes) {
			t.Errorf("%s: %+v", v.Type().Field(i).Name, fact)
		}
	}
	if f.Capabilities.Why == "" {
		t.Error("no reason for the missing capabilities")
	}
}

func TestGatherHere(t *testing.T) {
	f := Gather(SystemPaths())
	if f.Kernel == "" || f.NSDevice.Value == unknown || f.Capabilities.Why != "" || f.PIDNamespace.Value == unknown {
		t.Errorf("%+v", f)
	}
	b, err := json.Marshal(f)
	if err != nil || !strings.Contains(string(b), `"lockdown":{"value":`) {
		t.Errorf("%s %v", b, err)
	}
}

func TestMissingCapabilities(t *testing.T) {
	status := func(eff, bnd string) tree {
		return tree{"proc/self/status": "CapPrm:\t" + eff + "\nCapEff:\t" + eff + "\nCapBnd:\t" + bnd + "\n"}
	}
	names := func(s CapabilitySet) string {
		var out []string
		for _, m := range s.Missing {
			name := strings.TrimPrefix(m.Name, "CAP_")
			if !m.Obtainable {
				name += "!"
			}
			out = append(out, name)
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		eff, bnd       string
		old58, old511  bool
		want, oneHeld  string
		wantEffectives int
	}{
		{"000001fffeffffff", "000001fffeffffff", false, false, "", "CAP_BPF", 40},
		{"000001fffeffffff", "000001fffeffffff", false, true, "SYS_RESOURCE!", "CAP_BPF", 40},
		{"0000000000000000", "000001ffffffffff", false, false,
			"BPF PERFMON NET_ADMIN SYS_ADMIN SYS_PTRACE DAC_READ_SEARCH NET_RAW", "", 0},
		// docker's default set
		{"00000000a80425fb", "00000000a80425fb", false, false,
			"BPF! PERFMON! NET_ADMIN! SYS_ADMIN! SYS_PTRACE! DAC_READ_SEARCH!", "CAP_NET_RAW", 14},
		{"0000000000200000", "0000000000200000", true, true,
			"NET_ADMIN! SYS_PTRACE! DAC_READ_SEARCH! NET_RAW! SYS_RESOURCE!", "CAP_SYS_ADMIN", 1},
		{"0000020000000000", "0000020000000000", true, false,
			"NET_ADMIN! SYS_ADMIN! SYS_PTRACE! DAC_READ_SEARCH! NET_RAW!", "CAP_41", 1},
	} {
		set := paths(t, status(tt.eff, tt.bnd)).capabilities(tt.old58, tt.old511)
		if got := names(set); got != tt.want || len(set.Effective) != tt.wantEffectives {
			t.Errorf("%s: got %q and %v, want %q", tt.eff, got, set.Effective, tt.want)
		}
		if tt.oneHeld != "" && !strings.Contains(strings.Join(set.Effective, " "), tt.oneHeld) {
			t.Errorf("%s: %s is not among %v", tt.eff, tt.oneHeld, set.Effective)
		}
	}
}

func TestBefore(t *testing.T) {
	for release, want := range map[string]bool{
		"5.7.19": true, "4.18.0-553.el8": true, "5.8": false, "5.10.0-28-amd64": false, "6.1-rc3": false,
		"10.0.1": false, "": false, "nonsense": false, "5": false,
	} {
		if got := (Facts{Kernel: release}).before(5, 8); got != want {
			t.Errorf("%s: got %v", release, got)
		}
	}
}

func TestHostPaths(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOST_PROC", "")
	t.Setenv("HOST_SYS", "")
	t.Setenv("HOST_ROOT", root)
	if got := SystemPaths(); got != (Paths{"/proc", root + "/proc", "/sys"}) {
		t.Errorf("HOST_ROOT: %+v", got)
	}
	t.Setenv("HOST_PROC", "/host/proc")
	if got := SystemPaths(); got.HostProc != "/host/proc" || got.Proc != "/proc" {
		t.Errorf("HOST_PROC: %+v", got)
	}
	t.Setenv("HOST_PROC", "")
	t.Setenv("HOST_ROOT", "")
	if got := SystemPaths(); got != (Paths{"/proc", "/proc", "/sys"}) {
		t.Errorf("nothing set: %+v", got)
	}
}
