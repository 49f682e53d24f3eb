// Package usage reads what processes use: CPU, memory, BPF objects.
package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is a process and its descendants. What has ended meanwhile is left out.
func Tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for word := range strings.FieldsSeq(string(text)) {
				if child, err := strconv.Atoi(word); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// CPU is the CPU time of processes with all their threads, ended ones too,
// in seconds. The process clock counts in nanoseconds; /proc/PID/stat in ticks.
func CPU(pids []int) float64 {
	var sum float64
	for _, pid := range pids {
		// include/linux/posix-timers.h: CPUCLOCK_SCHED of another process.
		const sched = 2
		var ts unix.Timespec
		if unix.ClockGettime(int32(^pid<<3|sched), &ts) == nil {
			sum += float64(ts.Nano()) / 1e9
		}
	}
	return sum
}

// SoftirqThreads are the kernel threads that do the network's work when it
// does not fit into the context of the processes that cause it.
func SoftirqThreads() []int {
	var pids []int
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "ksoftirqd/") {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// Memory is the resident memory of processes, now and at its highest, in MB.
func Memory(pids []int) (now, peak float64) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		now += StatusMB(string(text), "VmRSS:")
		peak += StatusMB(string(text), "VmHWM:")
	}
	return now, peak
}

// StatusMB is a value of /proc/PID/status, /proc/meminfo and the like, in MiB.
func StatusMB(status, key string) float64 {
	_, after, _ := strings.Cut(status, key)
	f := strings.Fields(after)
	if len(f) == 0 {
		return 0
	}
	kB, _ := strconv.ParseFloat(f[0], 64)
	return kB / 1024
}

// BPF are the ids of the programs and maps that processes hold, directly or
// through a link.
func BPF(pids []int) (programs, maps map[uint32]bool) {
	programs, maps = map[uint32]bool{}, map[uint32]bool{}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fdinfo", pid)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, entry := range entries {
			text, _ := os.ReadFile(filepath.Join(dir, entry.Name()))
			for line := range strings.Lines(string(text)) {
				key, value, _ := strings.Cut(line, ":")
				id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				if err == nil && key == "prog_id" {
					programs[uint32(id)] = true
				}
				if err == nil && key == "map_id" {
					maps[uint32(id)] = true
				}
			}
		}
	}
	return programs, maps
}

// LoadAverage is of the last minute: figures above one say little about rates.
func LoadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	if _, err := strconv.ParseFloat(first, 64); err != nil {
		return "unknown"
	}
	return first
}
