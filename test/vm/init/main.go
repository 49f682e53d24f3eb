//go:build linux

// Command init is process 1 of a VM of the lab: it makes the usual mounts, loads the modules, brings lo up, runs the
// test binaries of its job and restarts the machine, which ends QEMU.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/vm/guest"
)

func main() {
	out, err := openReport("/dev/ttyS1")
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err) // the console is the only place left
		restart()
	}
	prepare(out)
	if err := runJob(out); err != nil {
		out.say(guest.Note, err.Error())
	}
	out.drain()
	restart()
}

// prepare makes the guest look like a booted machine. Whatever fails is noted, and the tests judge.
func prepare(out *report) {
	for _, m := range mounts() {
		if err := m.mount(); err != nil {
			out.say(guest.Note, err.Error())
		}
	}
	out.say(guest.Up, kernelRelease(), fmt.Sprint(sinceBoot().Milliseconds()))
	if err := raiseFileLimit(); err != nil {
		out.say(guest.Note, err.Error())
	}
	if err := unix.Sethostname([]byte("vm")); err != nil {
		out.say(guest.Note, "naming the host: "+err.Error())
	}
	if err := linkUp("lo"); err != nil {
		out.say(guest.Note, err.Error())
	}
}

// runJob loads the job's modules and runs its tests one after another.
func runJob(out *report) error {
	raw, err := os.ReadFile(guest.JobPath)
	if err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	var job guest.Job
	if err := json.Unmarshal(raw, &job); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	for _, path := range job.Modules {
		if err := loadModule(path); err != nil {
			out.say(guest.Note, err.Error())
		}
	}
	for _, t := range job.Tests {
		start := time.Now()
		out.say(guest.Begin, t.Package)
		code, err := runTest(t, out)
		if err != nil {
			out.say(guest.Note, err.Error())
		}
		out.say(guest.End, t.Package, fmt.Sprint(code), fmt.Sprint(time.Since(start).Milliseconds()))
	}
	out.say(guest.Done)
	return nil
}

// restart ends the VM: QEMU runs with -no-reboot. The sysrq way is at once; an ACPI power-off takes seconds longer.
func restart() {
	_ = os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}
