package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/test/bench/usage"
)

// programs are the BPF programs of a collector, held open while their run
// counts are read.
type programs struct {
	list []*ebpf.Program
	name []string
	// mapBytes is the memory of the maps that they or the collector hold.
	mapBytes uint64
}

// runs is what the kernel counted for one program (kernel.bpf_stats_enabled).
type runs struct {
	Count  uint64
	Time   time.Duration
	Missed uint64
}

// openPrograms finds the programs and maps of a process tree.
func openPrograms(pids []int) (*programs, error) {
	ids, maps := usage.BPF(pids)
	p := &programs{}
	for id := range ids {
		prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			p.close()
			return nil, fmt.Errorf("opening BPF program %d: %w", id, err)
		}
		info, err := prog.Info()
		if err != nil {
			_ = prog.Close()
			p.close()
			return nil, fmt.Errorf("looking at BPF program %d: %w", id, err)
		}
		p.list, p.name = append(p.list, prog), append(p.name, info.Name)
		used, _ := info.MapIDs()
		for _, m := range used {
			maps[uint32(m)] = true
		}
	}
	for id := range maps {
		p.mapBytes += mapBytes(ebpf.MapID(id))
	}
	return p, nil
}

func mapBytes(id ebpf.MapID) uint64 {
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return 0
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return 0
	}
	bytes, _ := info.Memlock()
	return bytes
}

func (p *programs) close() {
	for _, prog := range p.list {
		_ = prog.Close()
	}
}

// snapshot reads every program's counts.
func (p *programs) snapshot() ([]runs, error) {
	out := make([]runs, len(p.list))
	for i, prog := range p.list {
		s, err := prog.Stats()
		if err != nil {
			return nil, fmt.Errorf("reading the statistics of %s: %w", p.name[i], err)
		}
		out[i] = runs{Count: s.RunCount, Time: s.Runtime, Missed: s.RecursionMisses}
	}
	return out, nil
}

// enableStats makes the kernel count runs until the result is closed or this
// program ends, however it ends: a sysctl would have to be put back.
func enableStats() (io.Closer, error) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("enabling BPF statistics: %w", err)
	}
	return stats, nil
}

// sliceLength is how long the programs are watched for one value of ns per run.
// A slice in which somebody else used the CPU shows as an outlier: the 25th
// percentile of the slices is the figure to compare.
const (
	sliceLength = 500 * time.Millisecond
	sliceRuns   = 200
)

// watch samples all programs until ctx ends and returns, for each, the 25th
// percentile of ns per run; 0 for one that hardly ran.
func (p *programs) watch(ctx context.Context) ([]float64, error) {
	values := make([][]float64, len(p.list))
	last, err := p.snapshot()
	for err == nil && pause(ctx, sliceLength) == nil {
		var next []runs
		next, err = p.snapshot()
		for i := range next {
			n := next[i].Count - last[i].Count
			if n >= sliceRuns {
				values[i] = append(values[i], float64(next[i].Time-last[i].Time)/float64(n))
			}
		}
		last = next
	}
	out := make([]float64, len(p.list))
	for i, v := range values {
		out[i] = lowQuartile(v)
	}
	return out, err
}

func lowQuartile(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/4]
}

// programCost is one program's share of an operation.
type programCost struct {
	Name      string  `json:"name"`
	Runs      uint64  `json:"runs"`
	RunsPerOp float64 `json:"runs_per_op"`
	NsPerRun  float64 `json:"ns_per_run"`
	// LowNsPerRun is the 25th percentile of half-second slices.
	LowNsPerRun float64 `json:"p25_ns_per_run"`
	// Seconds is all its time.
	Seconds float64 `json:"seconds"`
	// Missed are the events for which the kernel did not run it, because they
	// happened on a CPU on which it was just running: a softirq's, in general.
	Missed uint64 `json:"missed"`
}

// costs are those of the programs that ran at all, dearest first.
func (p *programs) costs(before, after []runs, low []float64, ops float64) []programCost {
	var out []programCost
	for i := range p.list {
		n, d := after[i].Count-before[i].Count, after[i].Time-before[i].Time
		if n == 0 {
			continue
		}
		c := programCost{Name: p.name[i], Runs: n, RunsPerOp: float64(n) / ops,
			NsPerRun: float64(d) / float64(n), LowNsPerRun: low[i], Seconds: d.Seconds(),
			Missed: after[i].Missed - before[i].Missed}
		if c.LowNsPerRun == 0 {
			c.LowNsPerRun = c.NsPerRun
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b programCost) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return out
}
