package probe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CapabilitySet is what the process may do, by the kernel's names.
type CapabilitySet struct {
	Effective []string `json:"effective"`
	Permitted []string `json:"permitted"`
	Bounding  []string `json:"bounding"`
	// Missing are those that Weft has a use for on this kernel.
	Missing []MissingCapability `json:"missing"`
	// Why the sets could not be read; "" when they could.
	Why string `json:"why,omitempty"`
}

// MissingCapability is a right that this process lacks.
type MissingCapability struct {
	Name string `json:"name"`
	// Buys says what it would allow.
	Buys string `json:"buys"`
	// Obtainable tells whether it is in the bounding set: if not, the container
	// or the service unit withholds it.
	Obtainable bool `json:"obtainable"`
}

// wanted are the capabilities that matter, the most important first.
func wanted(before58, before511 bool) []MissingCapability {
	list := []MissingCapability{
		{Name: "CAP_BPF", Buys: "loading programs and making maps"},
		{Name: "CAP_PERFMON", Buys: "tracing programs that read kernel memory"},
		{Name: "CAP_NET_ADMIN", Buys: "cgroup, socket and tc programs, connection tracking"},
		{Name: "CAP_SYS_ADMIN", Buys: "other network namespaces, a detached cgroup2 mount, BPF run statistics"},
		{Name: "CAP_SYS_PTRACE", Buys: "namespaces, executables and files of other users' processes"},
		{Name: "CAP_DAC_READ_SEARCH", Buys: "tracefs and the binaries of other users"},
		{Name: "CAP_NET_RAW", Buys: "packet capture, the last door"},
	}
	if before58 {
		// Commit 2c78ee898d8f split the two off.
		list = list[2:]
		list[1].Buys = "everything of BPF before Linux 5.8, " + list[1].Buys
	}
	if before511 {
		list = append(list, MissingCapability{Name: "CAP_SYS_RESOURCE",
			Buys: "raising the memlock limit that BPF memory counts against"})
	}
	return list
}

// capabilities reads the sets of this process.
func (p Paths) capabilities(before58, before511 bool) CapabilitySet {
	masks := map[string]uint64{}
	for line := range strings.Lines(p.read(p.Proc, "self/status")) {
		name, value, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(name, "Cap") {
			continue
		}
		if mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err == nil {
			masks[name] = mask
		}
	}
	if _, ok := masks["CapEff"]; !ok {
		return CapabilitySet{Why: "cannot read /proc/self/status"}
	}
	set := CapabilitySet{
		Effective: capNames(masks["CapEff"]),
		Permitted: capNames(masks["CapPrm"]),
		Bounding:  capNames(masks["CapBnd"]),
		Missing:   []MissingCapability{},
	}
	for _, c := range wanted(before58, before511) {
		if slices.Contains(set.Effective, c.Name) {
			continue
		}
		c.Obtainable = slices.Contains(set.Bounding, c.Name)
		set.Missing = append(set.Missing, c)
	}
	return set
}

// lacks tells whether the capability matters here and is missing.
func (s CapabilitySet) lacks(name string) bool {
	return slices.ContainsFunc(s.Missing, func(m MissingCapability) bool { return m.Name == name })
}

// capNames turns a mask into names; a bit newer than the list gets its number.
func capNames(mask uint64) []string {
	list := strings.Fields(capList)
	names := []string{}
	for bit := range 64 {
		switch {
		case mask&(1<<bit) == 0:
		case bit < len(list):
			names = append(names, "CAP_"+list[bit])
		default:
			names = append(names, fmt.Sprintf("CAP_%d", bit))
		}
	}
	return names
}

// capList is include/uapi/linux/capability.h, in the order of the bits.
const capList = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
	SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
	SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
	SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
	MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`
