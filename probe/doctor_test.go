package probe

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const eperm = "load program: operation not permitted"

func failed(doors ...string) Capability {
	c := Capability{Name: "x"}
	for i := 0; i < len(doors); i += 2 {
		c.Failed = append(c.Failed, Attempt{doors[i], doors[i+1]})
	}
	return c
}

func lacking(obtainable bool, names ...string) CapabilitySet {
	var s CapabilitySet
	for _, n := range names {
		s.Missing = append(s.Missing, MissingCapability{Name: n, Obtainable: obtainable})
	}
	return s
}

func TestAdvise(t *testing.T) {
	second := failed("fentry a", eperm, "kprobe a", "x: not found: no such file or directory")
	second.Door = "tp_btf a"
	for _, tt := range []struct {
		name string
		c    Capability
		f    Facts
		want string
	}{
		{"best door", Capability{Door: "tp_btf"}, Facts{}, ""},
		{"unknown reason", failed("uprobe", "weird"), Facts{},
			"no remedy known: please report it with the output of `weft doctor --json`"},
		{"second best here", second,
			Facts{Kprobes: Fact{Value: no}, BTF: Fact{Value: yes}, Lockdown: Fact{Value: unknown}},
			"fentry: the kernel refuses it although no capability is missing (lockdown: unknown): " +
				"a policy of this kernel, nothing to do; " +
				"kprobe: this kernel is built without CONFIG_KPROBES; only another kernel has it"},
		{"no BTF", failed("tp_btf a", "no BTF found for kernel", "fentry a", "same"), Facts{BTF: Fact{Value: no}},
			"tp_btf, fentry: the kernel has no BTF: use one built with CONFIG_DEBUG_INFO_BTF=y"},
		{"no right", failed("tp_btf a", eperm), Facts{Capabilities: lacking(true, "CAP_BPF", "CAP_NET_RAW")},
			"tp_btf: grant CAP_BPF (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"withheld rights", failed("iter/task_file", eperm), Facts{Capabilities: lacking(false, "CAP_BPF", "CAP_PERFMON")},
			"iter/task_file: grant CAP_BPF and CAP_PERFMON " +
				"(the container or service unit withholds it: capabilities.add, CapabilityBoundingSet=)"},
		{"old kernel's right", failed("tp_btf a", eperm),
			Facts{Kernel: "5.4.0", Capabilities: lacking(true, "CAP_SYS_ADMIN")},
			"tp_btf: grant CAP_SYS_ADMIN (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"cgroup program", failed("cgroup_skb", eperm), Facts{Capabilities: lacking(true, "CAP_PERFMON", "CAP_NET_ADMIN")},
			"cgroup_skb: grant CAP_NET_ADMIN (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"capture", failed("af_packet", eperm), Facts{Capabilities: lacking(true, "CAP_NET_RAW")},
			"af_packet: grant CAP_NET_RAW (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"conntrack", failed("netlink conntrack", eperm), Facts{Capabilities: lacking(true, "CAP_NET_ADMIN")},
			"netlink: grant CAP_NET_ADMIN (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"files of others", failed("/proc", "open: permission denied"), Facts{Capabilities: lacking(true, "CAP_SYS_PTRACE")},
			"/proc: grant CAP_SYS_PTRACE (setcap, AmbientCapabilities= or securityContext.capabilities.add)"},
		{"memlock", failed("tp_btf a", "map create: operation not permitted (MEMLOCK may be too low)"),
			Facts{Kernel: "5.10.0", Memlock: Fact{Value: "65536 bytes"}, Capabilities: lacking(true, "CAP_SYS_RESOURCE")},
			"tp_btf: raise the memlock limit (LimitMEMLOCK=infinity, ulimit -l unlimited) or grant CAP_SYS_RESOURCE"},
		{"memlock is no reason from 5.11", failed("fentry a", eperm+" (MEMLOCK may be too low)"),
			Facts{Kernel: "6.1.0", SELinux: Fact{Value: "enforcing"}},
			"fentry: SELinux may deny it: `ausearch -m avc -ts recent` shows; allow this domain the class bpf"},
		{"lockdown", failed("kprobe a", eperm), Facts{Lockdown: Fact{Value: "confidentiality"}},
			"kprobe: lockdown=confidentiality forbids BPF to read kernel memory: boot with lockdown=integrity"},
		{"lockdown does not touch packets", failed("af_packet", eperm),
			Facts{Lockdown: Fact{Value: "confidentiality"}, AppArmor: Fact{Value: "docker-default (enforce)"}},
			"af_packet: the AppArmor profile docker-default (enforce) may deny it: run unconfined or allow capability bpf"},
		{"the verifier is no matter of rights", failed("tp_btf a", "load program: permission denied: R1 type=ptr"), Facts{},
			"no remedy known: please report it with the output of `weft doctor --json`"},
		{"container's cgroup", failed("cgroup_skb", "/c: this is a container's cgroup, not the machine's root"), Facts{},
			"cgroup_skb: run in the machine's cgroup namespace (docker --cgroupns=host), " +
				"or share the host's pid namespace and grant CAP_SYS_ADMIN"},
		{"no uprobes", failed("uprobe_multi SSL_read", "not supported"), Facts{Uprobes: Fact{Value: no}},
			"uprobe_multi: this kernel is built without CONFIG_UPROBES; only another kernel has it"},
		{"tracefs", failed("tracepoint sys_enter", "neither debugfs nor tracefs are mounted"), Facts{},
			"tracepoint: mount it: mount -t tracefs tracefs /sys/kernel/tracing"},
		{"memory", failed("tp_btf a", "map create: cannot allocate memory"), Facts{},
			"tp_btf: the kernel has not memory enough for the maps: lower the table sizes or raise the memory limit"},
		{"too old", failed("tp_btf sock_send_length", "find target: not found"),
			Facts{Kernel: "5.10.0", BTF: Fact{Value: yes}},
			"tp_btf: Linux 5.10.0 does not have it; a newer kernel may"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Advise(tt.c, tt.f); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func sampleReport(t *testing.T) Report {
	f := Gather(paths(t, host()))
	f.Arch, f.NSDevice = "amd64", Fact{Value: "4"}
	f.PIDsMatch.Why = ""
	tls := failed("uprobe SSL_read", eperm)
	tls.Name, tls.Feature = "tls", "httpflow-tls"
	f.Capabilities = lacking(false, "CAP_BPF")
	f.Capabilities.Missing[0].Buys = "loading programs"
	return NewReport("1.2.3", f, []Capability{
		{Name: "tcp connections", Feature: "netflow (TCP)", Door: "tp_btf inet_sock_set_state",
			Cost: strings.Repeat("word ", 30)},
		tls,
	})
}

func TestReportText(t *testing.T) {
	var b bytes.Buffer
	sampleReport(t).Text(&b)
	want := `Weft 1.2.3 on Linux 6.12.107+deb13-cloud-amd64 amd64: 1 of 2 capabilities missing: tls

CAPABILITY       DOOR                        FOR
tcp connections  tp_btf inet_sock_set_state  netflow (TCP)
    cost   word word word word word word word word word word word word word word word word word word word word
           word word word word word word word word word word
tls              MISSING                     httpflow-tls
    not    uprobe SSL_read: load program: operation not permitted
    to do  uprobe: grant CAP_BPF (the container or service unit withholds it: capabilities.add,
           CapabilityBoundingSet=)

FACTS
BTF               yes
lockdown          integrity
SELinux           absent
AppArmor          absent
memlock limit     8388608 bytes (does not matter from Linux 5.11 on)
cgroup            v2
cgroup2 at        /sys/fs/cgroup
kprobes           yes
uprobes           yes
tracefs           /sys/kernel/tracing
BPF JIT           on
unprivileged BPF  forbidden
BPF run stats     off
pid namespace     initial
pids match        yes
net namespace     initial
nsfs device       4
missing           CAP_BPF (loading programs; not even in the bounding set)
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestReportJSON(t *testing.T) {
	r := sampleReport(t)
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("got %+v, want %+v", back, r)
	}
	if got := r.Missing(); !reflect.DeepEqual(got, []string{"tls"}) {
		t.Errorf("missing: %v", got)
	}
	if got := NewReport("", Facts{}, []Capability{{Name: "a", Door: "b"}}); len(got.Missing()) != 0 ||
		!strings.Contains(got.verdict(), "all 1 capabilities work") {
		t.Errorf("nothing missing: %v", got.verdict())
	}
}

func TestInk(t *testing.T) {
	if inkFor(&bytes.Buffer{}) {
		t.Error("a buffer is no terminal")
	}
	if got := ink(true).bad("MISSING"); got != "\x1b[1;31mMISSING\x1b[0m" {
		t.Errorf("%q", got)
	}
}
