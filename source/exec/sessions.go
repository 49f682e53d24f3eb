package exec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// maxAsked bounds the answers that are remembered, for fresh.
	maxAsked = 8192
	fresh    = time.Second
)

// Sessions knows the session of each process, also of those that have ended. It
// is safe for concurrent use.
type Sessions struct {
	proc             string
	boot             string
	members, leaders *ebpf.Map
	// memory is how long rows of a process may come after its end.
	memory time.Duration

	mu    sync.Mutex
	asked map[uint32]answer
}

type answer struct {
	id string
	at time.Time
}

// newSessions has handles of the maps of its own, which outlive the source and
// go with the last reference.
func newSessions(proc string, coll *ebpf.Collection, memory time.Duration) (*Sessions, error) {
	members, err1 := coll.Maps["members"].Clone()
	leaders, err2 := coll.Maps["leaders"].Clone()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("keep the table of sessions: %w", err)
	}
	s := &Sessions{proc: proc, members: members, leaders: leaders, memory: memory, asked: map[uint32]answer{}}
	b, _ := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id")) // without it ids are good until the next boot
	s.boot = string(b[:min(8, len(b))])
	return s, nil
}

// text is the id of a session, "" for none: its number, the start of its leader
// in clock ticks since boot, and the beginning of the boot's id.
func (s *Sessions) text(sid uint32, leaderStart uint64) string {
	if sid == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d-%s", sid, leaderStart, s.boot)
}

// Of is the id of a process's session; "" for one without, and for one whose
// number two processes of different sessions had within the memory: rather none
// than a wrong one. Without sessions (nil) it is "".
func (s *Sessions) Of(pid uint32) string {
	if s == nil || pid == 0 {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if a, ok := s.asked[pid]; ok && now.Sub(a.at) < fresh {
		return a.id
	}
	if len(s.asked) >= maxAsked {
		clear(s.asked)
	}
	id := s.find(pid)
	s.asked[pid] = answer{id, now}
	return id
}

func (s *Sessions) find(pid uint32) string {
	var m bpfMember
	if err := s.members.Lookup(pid, &m); err != nil {
		st, err := readStat(s.proc, pid)
		if err != nil {
			return ""
		}
		return s.text(st.session, s.leaderStart(st.session))
	}
	if m.BeforeEnded != 0 && m.BeforeEnded+uint64(s.memory) > boottime() {
		return ""
	}
	// A process may have made a session of its own since it was forked.
	if st, err := readStat(s.proc, pid); m.Ended == 0 && err == nil && st.session != m.Now.Sid {
		return s.text(st.session, s.leaderStart(st.session))
	}
	return s.text(m.Now.Sid, m.Now.LeaderStart)
}

// leaderStart is in ticks since boot; 0 when nothing tells any more.
func (s *Sessions) leaderStart(sid uint32) uint64 {
	if st, err := readStat(s.proc, sid); err == nil && st.session == sid {
		return st.start
	}
	var start uint64
	_ = s.leaders.Lookup(sid, &start) // 0 without
	return start
}

// seed takes in the processes that exist. What the kernel's programs have noted
// meanwhile is newer and stays.
func (s *Sessions) seed() error {
	entries, err := os.ReadDir(s.proc)
	if err != nil {
		return err
	}
	var errs []error
	put := func(m *ebpf.Map, key uint32, value any) {
		if err := m.Update(key, value, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			errs = append(errs, err)
		}
	}
	for _, e := range entries {
		pid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		st, err := readStat(s.proc, uint32(pid))
		if err != nil {
			continue
		}
		start := s.leaderStart(st.session)
		if st.session != 0 && start != 0 {
			put(s.leaders, st.session, start)
		}
		var m bpfMember
		m.Now.Sid, m.Now.LeaderStart = st.session, start
		put(s.members, uint32(pid), m)
	}
	return errors.Join(errs...)
}

func boottime() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // cannot fail for this clock
	return uint64(t.Nano())
}

// stat is what we need of /proc/PID/stat: proc_pid_stat(5).
type stat struct {
	session uint32
	start   uint64 // clock ticks since boot
}

// The fields' indices in what follows the name.
const (
	sessionField = 6 - 3
	startField   = 22 - 3
)

func readStat(proc string, pid uint32) (stat, error) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.FormatUint(uint64(pid), 10), "stat"))
	if err != nil {
		return stat{}, err
	}
	// The name may itself hold parentheses and spaces.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= startField {
		return stat{}, errors.New("unexpected form of /proc/PID/stat")
	}
	session, err1 := strconv.ParseInt(fields[sessionField], 10, 32)
	start, err2 := strconv.ParseUint(fields[startField], 10, 64)
	return stat{uint32(max(session, 0)), start}, errors.Join(err1, err2)
}
