package bash

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"weft/probe"
	"weft/probe/uprobe"
)

// kernel is the loaded object and its door for programs. Links must stay
// referenced: the garbage collector closes those that are not.
type kernel struct {
	coll     *ebpf.Collection
	multi    bool
	programs link.Link
}

// loadKernel loads everything, the probes for uprobe_multi where the kernel has it.
func loadKernel() (*kernel, error) {
	// Before 5.11 maps count against the limit; creating them says so if they do not fit.
	_ = rlimit.RemoveMemlock()
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	k := &kernel{multi: features.HaveBPFLinkUprobeMulti() == nil}
	for _, name := range probes() {
		if k.multi {
			spec.Programs[name].AttachType = ebpf.AttachTraceUprobeMulti
		}
	}
	if k.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return k, nil
}

func probes() []string { return []string{"readline_entry", "readline_return", "history_entry"} }

func (k *kernel) close() {
	if k.programs != nil {
		k.programs.Close()
	}
	k.coll.Close()
}

// climbFunctions tells which kind of probe is in use. That it can be attached
// is tried on the collector itself, whose probed function nobody calls.
func (k *kernel) climbFunctions() probe.Capability {
	const cost = "three runs per line typed into a bash"
	door := "uprobe"
	if k.multi {
		door = "uprobe_multi"
	}
	return probe.Climb("readline", "ebpf-bash", probe.Rung{Door: door, Cost: cost, Try: func() error {
		links, err := k.attach("/proc/self/exe", []uprobe.Point{{Program: "readline_entry", Offsets: []uint64{elfHeader}}})
		uprobe.Detach(links)
		return err
	}})
}

// elfHeader is an offset in every program that is never executed.
const elfHeader = 0x8

// climbPrograms watches programs begin.
func (k *kernel) climbPrograms() probe.Capability {
	return probe.Climb("new shells", "ebpf-bash of new builds", probe.Rung{
		Door: "tp_btf sched_process_exec", Cost: "one look-up per program started", Try: func() (err error) {
			k.programs, err = link.AttachTracing(link.TracingOptions{Program: k.coll.Programs["program_exec"]})
			return err
		},
	})
}

// attach puts probes into a file, all at once: the kernel waits at each for all
// CPUs, while a new shell is on its way to its first prompt.
func (k *kernel) attach(path string, points []uprobe.Point) ([]link.Link, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	a := uprobe.Attacher{Programs: k.coll.Programs, Multi: k.multi}
	links, errs := make([][]link.Link, len(points)), make([]error, len(points))
	var wait sync.WaitGroup
	for i, p := range points {
		wait.Go(func() { links[i], errs[i] = a.Attach(path, []uprobe.Point{p}, 0) })
	}
	wait.Wait()
	all := slices.Concat(links...)
	if err := errors.Join(errs...); err != nil {
		uprobe.Detach(all)
		return nil, err
	}
	return all, nil
}

// learn tells the kernel what a file is.
func (k *kernel) learn(key bpfFileKey, info bpfFileInfo) error {
	return k.coll.Maps["files"].Put(key, info)
}

// stat sums one per-CPU counter.
func (k *kernel) stat(which bpfBashStat) int64 {
	var perCPU []uint64
	if err := k.coll.Maps["bash_stats"].Lookup(which, &perCPU); err != nil {
		return 0
	}
	var sum uint64
	for _, n := range perCPU {
		sum += n
	}
	return int64(sum)
}
