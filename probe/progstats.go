package probe

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/ledger"
)

// Program is a loaded program whose runs are shown on /metrics. It does not
// own the program: who loaded it closes it.
type Program struct {
	// Name is the label, normally the C function's name.
	Name string
	Prog *ebpf.Program
}

// Runs returns how often the program ran and for how long, since it was
// loaded. The kernel counts only while kernel.bpf_stats_enabled is 1 or
// somebody holds EnableRunStats; else both are 0. Needs Linux 5.8.
func (p Program) Runs() (uint64, time.Duration, error) {
	if p.Prog == nil {
		return 0, 0, fmt.Errorf("program %s is not loaded", p.Name)
	}
	s, err := p.Prog.Stats()
	if err != nil {
		return 0, 0, fmt.Errorf("read run statistics of program %s: %w", p.Name, err)
	}
	return s.RunCount, s.Runtime, nil
}

// Gauges are the program's counters for ledger.AddGauge. They read NaN once
// the program is closed.
func (p Program) Gauges() []ledger.Gauge {
	labels := []string{"program", p.Name}
	const note = " Counted only while kernel.bpf_stats_enabled is on."
	return []ledger.Gauge{{
		Name: "bpf_program_runs_total", Help: "Runs of a BPF program." + note, Labels: labels,
		Read: func() float64 {
			n, _, err := p.Runs()
			return orNaN(float64(n), err)
		},
	}, {
		Name: "bpf_program_run_seconds_total", Help: "Time spent in a BPF program, in seconds." + note, Labels: labels,
		Read: func() float64 {
			_, d, err := p.Runs()
			return orNaN(d.Seconds(), err)
		},
	}, {
		Name: "bpf_program_missed_total", Labels: labels,
		Help: "Events that came while the program ran on that CPU already, so that it did not run (Linux 5.12).",
		Read: func() float64 {
			n, err := p.Missed()
			return orNaN(float64(n), err)
		},
	}}
}

// Missed is how often the kernel left the program out because it was running on
// that CPU already: interrupted, or preempted by another task. Counted always,
// from Linux 5.12 on.
func (p Program) Missed() (uint64, error) {
	if p.Prog == nil {
		return 0, fmt.Errorf("program %s is not loaded", p.Name)
	}
	s, err := p.Prog.Stats()
	if err != nil {
		return 0, fmt.Errorf("read statistics of program %s: %w", p.Name, err)
	}
	return s.RecursionMisses, nil
}

// EnableRunStats makes the kernel count runs of all programs of the machine
// until the result is closed or the process ends. It costs some 20–50 ns per
// run of every program, so it is done on request only. Needs Linux 5.8 and
// CAP_SYS_ADMIN.
func EnableRunStats() (io.Closer, error) {
	c, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, fmt.Errorf("enable bpf run statistics: %w", err)
	}
	return c, nil
}

// Map is a map whose fill is shown on /metrics. It does not own the map.
type Map struct {
	// Name is the label, normally the map's name in C.
	Name string
	Map  *ebpf.Map
	// Count returns the entries in use. Leave it nil to have a hash counted by
	// reading it at each scrape (about 0.2 µs an entry); set it when the owner
	// counts anyway, and for maps that user space cannot walk (sk_storage).
	Count func() (int, error)
}

// Gauges are the map's size and fill for ledger.AddGauge. What the kernel
// does not tell reads NaN: entries of an array or a ring have no meaning.
func (m Map) Gauges() []ledger.Gauge {
	labels := []string{"map", m.Name}
	return []ledger.Gauge{{
		Name: "bpf_map_entries", Help: "Entries in use of a BPF map.", Labels: labels,
		Read: func() float64 {
			n, err := m.Entries()
			return orNaN(float64(n), err)
		},
	}, {
		Name: "bpf_map_max_entries", Labels: labels,
		Help: "Entries a BPF map can hold; for a ring its size in bytes; 0 for no limit.",
		Read: func() float64 {
			if m.Map == nil {
				return math.NaN()
			}
			return float64(m.Map.MaxEntries())
		},
	}, {
		Name: "bpf_map_bytes", Help: "Kernel memory of a BPF map, in bytes.", Labels: labels,
		Read: func() float64 {
			n, err := m.Bytes()
			return orNaN(float64(n), err)
		},
	}}
}

// Bytes is the kernel memory of the map, as the kernel accounts it: what is
// allocated now from Linux 6.4 on, an estimate for the full map before.
func (m Map) Bytes() (uint64, error) {
	if m.Map == nil {
		return 0, fmt.Errorf("map %s is not loaded", m.Name)
	}
	info, err := m.Map.Info()
	if err != nil {
		return 0, fmt.Errorf("read info of map %s: %w", m.Name, err)
	}
	n, ok := info.Memlock()
	if !ok {
		return 0, fmt.Errorf("map %s: %w: memlock in fdinfo", m.Name, ebpf.ErrNotSupported)
	}
	return n, nil
}

// Entries counts the entries in use. It fails with ebpf.ErrNotSupported for
// map types that user space cannot count.
func (m Map) Entries() (int, error) {
	switch {
	case m.Count != nil:
		return m.Count()
	case m.Map == nil:
		return 0, fmt.Errorf("map %s is not loaded", m.Name)
	}
	switch t := m.Map.Type(); t {
	case ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash:
		return countHash(m.Map)
	default:
		return 0, fmt.Errorf("map %s: %w: counting a %s", m.Name, ebpf.ErrNotSupported, t)
	}
}

func orNaN(v float64, err error) float64 {
	if err != nil {
		return math.NaN()
	}
	return v
}
