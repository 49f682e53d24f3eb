package probe

import (
	"os"
	"path/filepath"
	"strings"
)

// probePMU tells whether kprobes or uprobes can be made: by the PMU, which
// there is from Linux 4.17 on, or by the older file in tracefs.
func (p Paths) probePMU(kind string) Fact {
	devices := filepath.Join(p.Sys, "bus/event_source/devices")
	switch {
	case exists(filepath.Join(devices, kind)):
		return Fact{Value: yes}
	case exists(filepath.Join(p.Sys, "kernel/tracing", kind+"_events")),
		exists(filepath.Join(p.Sys, "kernel/debug/tracing", kind+"_events")):
		return Fact{yes, "through tracefs"}
	case isDir(devices):
		return Fact{no, "built without CONFIG_" + strings.ToUpper(kind) + "_EVENTS"}
	}
	return Fact{unknown, "no /sys/bus/event_source"}
}

// tracefs is where the trace events can be looked up.
func (p Paths) tracefs() Fact {
	if point := p.mountPoint("tracefs"); point != "" {
		return Fact{Value: point}
	}
	// debugfs mounts it below itself when somebody first looks there.
	for _, dir := range []string{"kernel/tracing", "kernel/debug/tracing"} {
		if exists(filepath.Join(p.Sys, dir, "events")) {
			return Fact{Value: filepath.Join("/sys", dir)}
		}
	}
	if _, err := os.ReadDir(filepath.Join(p.Sys, "kernel/tracing")); os.IsPermission(err) {
		return Fact{unknown, err.Error()}
	}
	return Fact{"not mounted", "classic tracepoints need it, tp_btf and raw tracepoints do not"}
}
