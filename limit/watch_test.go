package limit

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func at(second float64) time.Time { return time.Unix(0, int64(second*1e9)) }

// feed adds samples a second apart and returns what the last one says.
func feed(l Limits, samples ...Sample) []Use {
	var w Watch
	var uses []Use
	for i, s := range samples {
		s.At = at(float64(i))
		uses = w.Add(s, l)
	}
	return uses
}

func cpu(seconds ...float64) []Sample {
	out := make([]Sample, len(seconds))
	for i, s := range seconds {
		out[i].CPU = time.Duration(s * 1e9)
	}
	return out
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// CPU is that of the last five seconds, not of the life so far.
func TestCPUIsRecent(t *testing.T) {
	idleThenBusy := cpu(0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 6, 8, 10)
	if u := feed(Limits{CPU: 1}, idleThenBusy...)[0]; !near(u.Held, 2) || !strings.Contains(u.Text, "2 of 1 cores") {
		t.Errorf("%+v, want twice the limit", u)
	}
	busyThenIdle := cpu(0, 5, 10, 15, 20, 20, 20, 20, 20, 20, 20)
	if u := feed(Limits{CPU: 1}, busyThenIdle...)[0]; u.Held != 0 {
		t.Errorf("%+v, want 0: it idled for the whole window", u)
	}
}

// One second at four cores does not make five seconds at one.
func TestSpikesDoNotCount(t *testing.T) {
	if u := feed(Limits{CPU: 1}, cpu(0, 0.1, 0.2, 0.3, 4.3, 4.4, 4.5)...)[0]; u.Held > 1 {
		t.Errorf("a spike of CPU counts: %+v", u)
	}
	memory := make([]Sample, 12)
	for i := range memory {
		memory[i].Mem = Memory{Process: 50, BPF: 10}
	}
	memory[9].Mem.Process = 500
	u := feed(Limits{Mem: 100}, memory...)[0]
	if !near(u.Held, 0.6) || !near(u.Now, 0.6) {
		t.Errorf("a spike of memory counts: %+v", u)
	}
	for i := range memory {
		memory[i].Mem.BPF = 60
	}
	if u := feed(Limits{Mem: 100}, memory...)[0]; !near(u.Held, 1.1) {
		t.Errorf("memory above the limit all the time does not count: %+v", u)
	}
}

// Before there is a window nothing is exceeded.
func TestStartIsNoExcess(t *testing.T) {
	mem := Memory{Process: 9}
	u := feed(Limits{CPU: 1, Mem: 1}, Sample{Mem: mem}, Sample{CPU: 4e9, Mem: mem})
	if u[0].Held != 0 || u[1].Held != 0 || u[1].Now != 9 {
		t.Errorf("%+v", u)
	}
}

func nics(rx ...map[string]uint64) []Sample {
	out := make([]Sample, len(rx))
	for i, m := range rx {
		out[i].NICs = map[string][2]uint64{}
		for name, n := range m {
			out[i].NICs[name] = [2]uint64{n, n / 2}
		}
	}
	return out
}

type byName = map[string]uint64

// The busiest direction of the busiest interface counts; counters that go back
// and interfaces that come and go do not.
func TestBandwidth(t *testing.T) {
	for name, tt := range map[string]struct {
		samples []Sample
		want    float64
	}{
		"steady": {nics(byName{"a": 0, "b": 0}, byName{"a": 100, "b": 10}, byName{"a": 200, "b": 20},
			byName{"a": 300, "b": 30},
			byName{"a": 400, "b": 40}, byName{"a": 500, "b": 50}), 1},
		"reset": {nics(byName{"a": 1e9}, byName{"a": 1e9 + 100}, byName{"a": 0}, byName{"a": 100}, byName{"a": 200},
			byName{"a": 300}), 0.8},
		"comes with a count": {nics(byName{}, byName{"a": 1e12}, byName{"a": 1e12 + 50}, byName{"a": 1e12 + 100},
			byName{"a": 1e12 + 150}, byName{"a": 1e12 + 200}), 0.4},
		"goes": {nics(byName{"a": 0}, byName{"a": 500}, byName{}, byName{}, byName{}, byName{}), 1},
		"goes and comes": {nics(byName{"a": 0}, byName{"a": 100}, byName{}, byName{"a": 0}, byName{"a": 100},
			byName{"a": 200}), 0.6},
		"none": {nics(byName{}, byName{}, byName{}, byName{}, byName{}, byName{}), 0},
	} {
		if u := feed(Limits{Net: 100}, tt.samples...)[0]; !near(u.Held, tt.want) {
			t.Errorf("%s: %+v, want %g", name, u, tt.want)
		}
	}
}

func TestParseNICs(t *testing.T) {
	got := parseNICs([]byte(`Inter-|   Receive                                 |  Transmit
 face |bytes    packets errs drop fifo frame compressed|bytes    packets errs drop fifo colls
    lo: 4294967296       5    0    0    0     0          0         0  7        5    0    0    0     0       0          0
eth0.1:123456789012 1 0 0 0 0 0 0 98765432109 1 0 0 0 0 0 0
`))
	if len(got) != 2 || got["lo"] != [2]uint64{4294967296, 7} || got["eth0.1"] != [2]uint64{123456789012, 98765432109} {
		t.Errorf("%v", got)
	}
}

// This process reads itself: its memory is at least what it has just filled,
// and all that /proc says of it is understood.
func TestReadsItself(t *testing.T) {
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = 1
	}
	s, err := NewReader("/proc").Read(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s.Mem.Process < int64(len(held)) || s.Mem.File <= 0 || s.CPU <= 0 || s.NICs["lo"] != lo(t) && len(s.NICs) == 0 {
		t.Errorf("%+v", s)
	}
	held[0] = 2
}

func lo(t *testing.T) [2]uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	return parseNICs(text)["lo"]
}

func TestBPFObject(t *testing.T) {
	for text, want := range map[string]int64{
		"pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n":      4096,
		"pos:\t0\nprog_type:\t1\nmemlock:\t8192\nprog_id:\t9\n":    8192,
		"pos:\t0\nlink_type:\ttracing\nlink_id:\t3\nprog_id:\t9\n": 0,
		"pos:\t0\nflags:\t02\n":                                    0,
	} {
		if _, n := bpfObject([]byte(text)); n != want {
			t.Errorf("%q: %d, want %d", text, n, want)
		}
	}
}

func TestMappedBPF(t *testing.T) {
	const maps = `00400000-00ae1000 r-xp 00000000 fd:00 1 /usr/bin/weft
7f0000000000-7f0000201000 r--s 00001000 00:0e 1057   anon_inode:bpf-map
7f0000300000-7f0000301000 rw-s 00000000 00:0e 1057   anon_inode:bpf-map
`
	if got := mappedBPF([]byte(maps)); got != 0x202000 {
		t.Errorf("%#x", got)
	}
}
