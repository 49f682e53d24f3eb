package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server or a collector that this program started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	out  output
	name string
}

// output collects what a process says, for messages and its own count.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// spawn starts a command, in a process group of its own so that Ctrl-C reaches
// only this program, which then ends everything in order. Its standard output
// goes to the file when there is one.
func spawn(in *namespace, to *os.File, argv ...string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), name: argv[0]}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if to != nil {
		p.cmd.Stdout = to
	}
	p.cmd.WaitDelay = time.Second
	start := p.cmd.Start
	if in != nil {
		start = func() error { return in.do(p.cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, p.out.text())
	default:
		return nil
	}
}

// stop asks the process to end and, when it does not, kills its group.
func (p *process) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", p.name, grace)
	}
	return nil
}

// tree is a process and its descendants. What has ended meanwhile is left out.
func tree(pid int) []int {
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

// cpuOf is the CPU time of processes with all their threads, ended ones too,
// in seconds. The process clock counts in nanoseconds; /proc/PID/stat in ticks.
func cpuOf(pids []int) float64 {
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

// softirqThreads are the kernel threads that do the network's work when it
// does not fit into the context of the processes that cause it.
func softirqThreads() []int {
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

// memoryOf is the resident memory of processes, now and at its highest, in MB.
func memoryOf(pids []int) (now, peak float64) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		now += statusMB(string(text), "VmRSS:")
		peak += statusMB(string(text), "VmHWM:")
	}
	return now, peak
}

func statusMB(status, key string) float64 {
	_, after, _ := strings.Cut(status, key)
	f := strings.Fields(after)
	if len(f) == 0 {
		return 0
	}
	kB, _ := strconv.ParseFloat(f[0], 64)
	return kB / 1024
}

// bpfIDs are the ids of the programs and maps that processes hold, directly or
// through a link.
func bpfIDs(pids []int) (programs, maps map[uint32]bool) {
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
