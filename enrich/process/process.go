// Package process gives flows the full name of their process. It stands
// between aggregation and the sinks.
package process

import (
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// commLen is where the kernel cuts a process name (TASK_COMM_LEN - 1).
	commLen = 15
	// maxEntries bounds one generation of the cache; there are two.
	maxEntries = 8192
	// generation is how long names are kept unused: once to twice that.
	generation = time.Minute
	// recheck is how long a name is taken without a look whether the pid still
	// belongs to the same process.
	recheck = time.Second
)

// Namer resolves process names. It is safe for concurrent use.
type Namer struct {
	proc string
	now  func() time.Time

	mu         sync.Mutex
	young, old map[key]entry
	born       time.Time // of young
}

type key struct {
	pid  uint32
	comm string
}

type entry struct {
	name string
	// start is the process's start time in clock ticks since boot, 0 if gone.
	start   uint64
	checked time.Time
}

// New returns a namer that reads below procRoot, normally /proc, or HOST_PROC
// in a container that mounts the machine's /proc elsewhere.
func New(procRoot string) *Namer {
	return &Namer{proc: procRoot, now: time.Now, young: map[key]entry{}, old: map[key]entry{}}
}

// Name returns the name of the process whose thread-group leader has this comm.
//
// It is the comm itself, unless the kernel has cut it: then it is the base
// name of the program or script that begins with the comm, if the pid still
// belongs to the process. Only cut names cost a look at /proc. A process that
// is gone keeps the name it was known by, else its comm. Bytes that are no
// UTF-8 are replaced.
func (n *Namer) Name(pid uint32, comm string) string {
	if pid == 0 || len(comm) < commLen {
		return valid(comm)
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rotate(now)
	k := key{pid, comm}
	e, known := n.young[k]
	if !known {
		e, known = n.old[k]
	}
	if !known || now.Sub(e.checked) >= recheck {
		e = n.look(k, e, known)
		e.checked = now
	}
	// Put back each time: what is in use moves to the young generation.
	n.young[k] = e
	return e.name
}

// look refreshes what is known about the process, or finds it out.
func (n *Namer) look(k key, e entry, known bool) entry {
	st, err := readStat(n.proc, k.pid)
	if err != nil || st.comm != k.comm {
		// Gone, or the pid belongs to another process by now, or the process
		// took another name: the row was made before that.
		if !known {
			e.name = valid(k.comm)
		}
		e.start = 0
		return e
	}
	// A name not found yet is looked for again: between exec and the first
	// instruction there is a comm but no command line.
	if known && e.start == st.start && len(e.name) > commLen {
		return e
	}
	return entry{name: valid(fullName(n.proc, k.pid, k.comm)), start: st.start}
}

// rotate drops the old generation when the young one is full or aged.
func (n *Namer) rotate(now time.Time) {
	if len(n.young) < maxEntries && now.Sub(n.born) < generation {
		return
	}
	n.old, n.young = n.young, make(map[key]entry, len(n.young)/2)
	n.born = now
}

// valid makes a string that every sink can carry; a comm is any bytes, and
// the kernel may cut it within a character.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
