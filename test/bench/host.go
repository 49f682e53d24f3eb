package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/bench/usage"
)

// hostInfo is what figures are worth nothing without.
type hostInfo struct {
	Date       string  `json:"date"`
	Kernel     string  `json:"kernel"`
	Machine    string  `json:"machine"`
	CPUs       int     `json:"cpus"`
	MemoryGiB  float64 `json:"memory_gib"`
	LoadBefore string  `json:"load_before"`
	LoadAfter  string  `json:"load_after"`
	Version    string  `json:"version"`
}

func host() hostInfo {
	h := hostInfo{Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), CPUs: runtime.NumCPU(),
		Machine: "unknown CPU", LoadBefore: usage.LoadAverage(), Version: "unknown"}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	if _, after, ok := strings.Cut(string(cpus), "model name"); ok {
		line, _, _ := strings.Cut(after, "\n")
		h.Machine = strings.Trim(line, " \t:")
	}
	memory, _ := os.ReadFile("/proc/meminfo")
	h.MemoryGiB = usage.StatusMB(string(memory), "MemTotal:") / 1024
	if out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		h.Version = strings.TrimSpace(string(out))
	}
	return h
}
