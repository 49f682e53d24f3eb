// Package limit watches what the collector itself uses, compares it with the
// configured limits and says how much of its work to leave out. It stands beside
// the path of a record; agent acts on what it says. Leaf package.
package limit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Memory is what the collector takes, in bytes.
type Memory struct {
	// Process is the resident memory of the process without the kernel's tables
	// that it has mapped; File is the part of it that files back (the program).
	Process, File int64
	// BPF is the kernel's memory of its maps and programs, each once.
	BPF int64
}

// Total is what mem_limit bounds.
func (m Memory) Total() int64 { return m.Process + m.BPF }

// Sample is what was used up to a moment.
type Sample struct {
	At time.Time
	// CPU is the time of all threads of the process since its start. What BPF
	// programs take is accounted to the processes in which they run.
	CPU time.Duration
	Mem Memory
	// NICs are bytes received and sent of each interface.
	NICs map[string][2]uint64
}

// Reader takes samples of this process.
type Reader struct {
	self    string // /proc/self
	hostNet string
	page    int64
	bpf     int64
	bpfAt   time.Time
}

// bpfEvery is how often descriptors are gone through: maps seldom change.
const bpfEvery = 5 * time.Second

// NewReader reads network interfaces of the host's network namespace, which is
// that of its process 1.
func NewReader(hostProc string) *Reader {
	return &Reader{
		self: "/proc/self", hostNet: filepath.Join(hostProc, "1/net/dev"), page: int64(os.Getpagesize()),
	}
}

// Read takes a sample. What cannot be read is 0 and named by the error; the
// rest of the sample is valid then.
func (r *Reader) Read(now time.Time) (Sample, error) {
	s := Sample{At: now}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return s, fmt.Errorf("read CPU time: %w", err)
	}
	s.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	var err error
	if s.Mem, err = r.memory(now); err != nil {
		return s, fmt.Errorf("read memory: %w", err)
	}
	text, err := os.ReadFile(r.hostNet)
	if err != nil {
		return s, fmt.Errorf("read network interfaces: %w", err)
	}
	s.NICs = parseNICs(text)
	return s, nil
}

func (r *Reader) memory(now time.Time) (m Memory, err error) {
	text, err := os.ReadFile(filepath.Join(r.self, "statm"))
	if err != nil {
		return m, err
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return m, fmt.Errorf("statm: %w", err)
	}
	maps, err := os.ReadFile(filepath.Join(r.self, "maps"))
	if err != nil {
		return m, err
	}
	mapped := mappedBPF(maps)
	m.Process, m.File = max(resident*r.page-mapped, 0), max(shared*r.page-mapped, 0)
	if now.Sub(r.bpfAt) >= bpfEvery {
		if r.bpf, err = r.bpfMemory(); err != nil {
			return m, err
		}
		r.bpfAt = now
	}
	m.BPF = r.bpf
	return m, nil
}

// mappedBPF is how much of BPF maps a process has mapped. All of it is
// resident, and a ring's data is there twice in a row.
func mappedBPF(maps []byte) (sum int64) {
	for line := range bytes.Lines(maps) {
		if !bytes.HasSuffix(bytes.TrimSpace(line), []byte("anon_inode:bpf-map")) {
			continue
		}
		from, rest, _ := bytes.Cut(line, []byte("-"))
		to, _, _ := bytes.Cut(rest, []byte(" "))
		begin, err1 := strconv.ParseUint(string(from), 16, 64)
		end, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil {
			sum += int64(end - begin)
		}
	}
	return sum
}

// bpfMemory adds up what the kernel says of each map and program that this
// process holds open (memlock in fdinfo), however many descriptors it has.
func (r *Reader) bpfMemory() (sum int64, err error) {
	dir := filepath.Join(r.self, "fdinfo")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		id, bytes := bpfObject(text)
		if id != "" && !seen[id] {
			seen[id] = true
			sum += bytes
		}
	}
	return sum, nil
}

// bpfObject is which map or program a descriptor stands for, "" for none.
func bpfObject(fdinfo []byte) (id string, memlock int64) {
	for line := range strings.Lines(string(fdinfo)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "map_id", "prog_id":
			id = key + value
		case "memlock":
			memlock, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		case "link_id":
			return "", 0 // it names the program that has a descriptor of its own
		}
	}
	return id, memlock
}

// parseNICs reads /proc/net/dev: bytes received are the first column, bytes
// sent the ninth.
func parseNICs(text []byte) map[string][2]uint64 {
	nics := map[string][2]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, counters, ok := strings.Cut(lines.Text(), ":")
		words := strings.Fields(counters)
		if !ok || len(words) < 9 {
			continue // the headings
		}
		rx, err1 := strconv.ParseUint(words[0], 10, 64)
		tx, err2 := strconv.ParseUint(words[8], 10, 64)
		if err1 == nil && err2 == nil {
			nics[strings.TrimSpace(name)] = [2]uint64{rx, tx}
		}
	}
	return nics
}
