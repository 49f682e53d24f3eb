package probe

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"weft/ledger"
)

// needBPF skips without the right to load programs.
func needBPF(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to load BPF objects")
	}
	// Before 5.11 BPF memory counts against RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Skip("cannot raise the memlock limit:", err)
	}
}

func byName(gs []ledger.Gauge) map[string]float64 {
	out := map[string]float64{}
	for _, g := range gs {
		out[g.Name] = g.Read()
	}
	return out
}

func TestProgramGauges(t *testing.T) {
	needBPF(t)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "weft_test", Type: ebpf.SocketFilter, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	p := Program{Name: "weft_test", Prog: prog}
	stats, err := EnableRunStats()
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 64), Repeat: 5}); err != nil {
		t.Fatal(err)
	}
	runs, spent, err := p.Runs()
	if err != nil || runs != 5 || spent <= 0 {
		t.Errorf("got %d runs, %s, %v; want 5", runs, spent, err)
	}
	got := byName(p.Gauges())
	if got["bpf_program_runs_total"] != 5 || got["bpf_program_run_seconds_total"] != spent.Seconds() {
		t.Errorf("gauges: %v", got)
	}
	prog.Close()
	for name, v := range byName(p.Gauges()) {
		if !math.IsNaN(v) {
			t.Errorf("%s of a closed program: %v, want NaN", name, v)
		}
	}
	for name, v := range byName(Program{Name: "none"}.Gauges()) {
		if !math.IsNaN(v) {
			t.Errorf("%s of no program: %v, want NaN", name, v)
		}
	}
}

func TestMapEntries(t *testing.T) {
	needBPF(t)
	for _, typ := range []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash} {
		t.Run(typ.String(), func(t *testing.T) {
			m, err := ebpf.NewMap(&ebpf.MapSpec{Type: typ, KeySize: 4, ValueSize: 12, MaxEntries: 50_000})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			perKey, err := valuesPerKey(typ)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := countHash(m); n != 0 || err != nil {
				t.Fatalf("empty map: %d, %v", n, err)
			}
			const want = 5_000
			for i := range uint32(want) {
				var value any = [12]byte{}
				if perKey > 1 {
					value = make([][12]byte, perKey)
				}
				if err := m.Put(i, value); err != nil {
					t.Fatal(err)
				}
			}
			got := byName(Map{Name: "m", Map: m}.Gauges())
			if got["bpf_map_entries"] != want || got["bpf_map_max_entries"] != 50_000 {
				t.Errorf("gauges: %v", got)
			}
			if got["bpf_map_bytes"] < want*16 {
				t.Errorf("bytes: %v, want at least %d", got["bpf_map_bytes"], want*16)
			}
		})
	}
}

func TestMapWithoutEntries(t *testing.T) {
	needBPF(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	ring := Map{Name: "ring", Map: m}
	if _, err := ring.Entries(); !errors.Is(err, ebpf.ErrNotSupported) {
		t.Errorf("counting a ring: %v", err)
	}
	got := byName(ring.Gauges())
	if !math.IsNaN(got["bpf_map_entries"]) || got["bpf_map_max_entries"] != 1<<16 {
		t.Errorf("ring: %v", got)
	}
	ring.Count = func() (int, error) { return 3, nil }
	if got := byName(ring.Gauges()); got["bpf_map_entries"] != 3 {
		t.Errorf("own count: %v", got)
	}
	m.Close()
	ring.Count = nil
	for name, v := range byName(ring.Gauges()) {
		if name != "bpf_map_max_entries" && !math.IsNaN(v) {
			t.Errorf("%s of a closed map: %v, want NaN", name, v)
		}
	}
}
