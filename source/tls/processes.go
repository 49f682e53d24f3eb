package tls

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/link"

	"weft/probe/executable"
)

// Process is a process that uses TLS, for `weft doctor`.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// File is the program or library that does TLS, as the process sees it.
	File     string `json:"file"`
	Attached bool   `json:"attached"`
	// Reason says why the plaintext, or some of it, cannot be had; "" when it can.
	Reason string `json:"reason,omitempty"`
}

// process is one that runs.
type process struct {
	name  string
	files map[*file]string // those that matter, and the path each is mapped by
	// others are kinds of TLS that leave no function to probe, with the file.
	others map[Kind]string
	denied string // why nothing is taken of it, "" when it is
	// described is what Processes tells; made at each look, then only read.
	described []Process
	// bio are the probes of this process only, where OpenSSL works on memory.
	bio      []link.Link
	untied   uint64
	bioAsked bool
}

// worksOnMemory tells of a library whose users are known to have OpenSSL work on
// memory: they are watched before the kernel side finds out. It is a hint only.
func worksOnMemory(m executable.Mapping) bool {
	return strings.HasPrefix(filepath.Base(m.Path), "_asyncio.")
}

// commOf is the name of a process's main thread.
func commOf(proc string, pid int) string {
	b, _ := os.ReadFile(filepath.Join(proc, fmt.Sprint(pid), "comm")) // "" once it has gone
	return strings.TrimSpace(string(b))
}

// untouchable are programs that watch their own code in memory: a probe in it would
// look to them like an attack. By the base name of the program.
func untouchable(exe string) string {
	const watches = "not probed: this program checks its own code in memory"
	switch filepath.Base(exe) {
	case "falcon-sensor", "falcon-sensor-bpf", "falcond", // CrowdStrike
		"sentinelone-agent", "s1-agent", // SentinelOne
		"ds_agent", "ds_am", // Trend Micro
		"cbagentd", "cbdaemon", // Carbon Black
		"wdavdaemon", "mdatp": // Microsoft Defender
		return watches
	}
	return ""
}

// opaque recognises a library that does TLS where no probe reaches it.
func opaque(path string) (Kind, string) {
	base := filepath.Base(path)
	switch {
	case base == "libjvm.so":
		return Java, "Java does TLS in compiled bytecode, where there is no function to probe"
	case base == "libssl3.so":
		return NSS, "NSS is not read"
	}
	return None, ""
}

// life is a process that began a program; path is the program as it sees it.
type life struct {
	pid  int
	path string
}

// leftOut is why nothing is taken of a process that was not chosen.
const leftOut = "left out by process_allow or process_deny"

// describe tells of the process for a person.
func (p *process) describe(pid int) []Process {
	var all []Process
	for f, path := range p.files {
		if f.plan.kind == None {
			continue
		}
		d := Process{PID: pid, Name: p.name, Kind: f.plan.kind, File: path, Attached: f.attached(), Reason: f.reason()}
		if p.denied != "" {
			d.Attached, d.Reason = false, p.denied
		}
		all = append(all, d)
	}
	for kind, path := range p.others {
		_, why := opaque(path)
		all = append(all, Process{PID: pid, Name: p.name, Kind: kind, File: path, Reason: why})
	}
	return all
}
