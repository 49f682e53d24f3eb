package tls

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"weft/config"
	"weft/probe/executable"
	"weft/probe/uprobe"
)

// As soon as a process began a program, this is looked into; what it maps at
// these times after, for libraries that it loads, and of all processes every
// rescan.
const (
	rescan    = 30 * time.Second
	tick      = 10 * time.Millisecond
	idleTick  = time.Second
	doorGrace = 10 * time.Second
	// maxDue bounds the looks that are planned; more wait for the next rescan.
	maxDue = 4096
)

func looks() []time.Duration {
	return []time.Duration{5 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second}
}

// look is a planned look at a process.
type look struct {
	at  time.Time
	pid int
}

// discovery finds processes that do TLS, and keeps probes in their files. One
// goroutine runs it; list may be called from any.
type discovery struct {
	k     *kernel
	log   *slog.Logger
	proc  string
	root  string
	files *files
	// wanted tells whether a process was chosen.
	wanted func(pid uint32, comm string) bool
	due    []look
	// doorUntil is how long the socket door stays open for a program that has
	// just begun and may turn out to do TLS.
	doorUntil time.Time

	mu    sync.Mutex
	procs map[int]*process
}

func newDiscovery(k *kernel, cfg *config.Config, wanted func(uint32, string) bool, log *slog.Logger) *discovery {
	if wanted == nil {
		wanted = func(uint32, string) bool { return true }
	}
	return &discovery{
		k: k, log: log, wanted: wanted, files: newFiles(k), procs: map[int]*process{},
		proc: cmp.Or(cfg.HostProc, "/proc"), root: cmp.Or(cfg.HostRoot, "/"),
	}
}

// start looks at the whole machine once.
func (d *discovery) start() {
	d.files.attachSystem(d.root)
	d.lookAtAll()
}

// changes are what a discovery is told of processes.
type changes struct {
	born   <-chan life // they began a program
	memory <-chan int  // their OpenSSL works on memory
	gone   <-chan int  // they ended
	again  <-chan struct{}
}

// run follows processes until ctx ends.
func (d *discovery) run(ctx context.Context, c changes) {
	all := time.NewTicker(rescan)
	defer all.Stop()
	soon := time.NewTimer(tick)
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-c.born:
			idle := len(d.due) == 0
			d.begin(l, time.Now())
			if idle { // else it comes soon, however many programs begin
				soon.Reset(tick)
			}
		case pid := <-c.memory:
			d.watchMemory(pid)
		case pid := <-c.gone:
			d.forget(pid)
		case now := <-soon.C:
			d.lookAtDue(now)
			soon.Reset(d.nextTick())
		case now := <-all.C:
			d.lookAtAll()
			d.files.detachUnused(now)
		case <-c.again:
			d.lookAtAll()
		}
	}
}

func (d *discovery) nextTick() time.Duration {
	if len(d.due) > 0 {
		return tick
	}
	return idleTick
}

// begin opens the socket door while probes are put into the program: a client
// may connect within milliseconds.
func (d *discovery) begin(l life, now time.Time) {
	d.doorUntil = now.Add(doorGrace)
	opened := make(chan error)
	go func() { opened <- d.k.watchSockets(true) }()
	d.lookInto(l)
	if err := <-opened; err != nil {
		d.log.Error("TLS connections are not seen", "err", err)
	}
	for _, after := range looks() {
		if len(d.due) < maxDue {
			d.due = append(d.due, look{now.Add(after), l.pid})
		}
	}
}

// lookInto puts probes into a program that began. One that has ended since is
// found by its path: it may run again.
func (d *discovery) lookInto(l life) {
	reach := filepath.Join(d.proc, fmt.Sprint(l.pid), "exe")
	if id, _, err := executable.Identify(reach); err == nil && id == d.files.self {
		return
	} else if err != nil {
		if !filepath.IsAbs(l.path) {
			return
		}
		reach = filepath.Join(d.root, l.path)
	} else if d.isDenied(l.pid, l.path) != "" {
		return
	}
	if f := d.files.get(reach, true); f != nil && untouchable(l.path) == "" {
		d.files.attach(f, reach)
	}
}

// isDenied says why nothing may be taken of a process, "" when it may.
func (d *discovery) isDenied(pid int, exe string) string {
	if !d.wanted(uint32(pid), commOf(d.proc, pid)) {
		return leftOut
	}
	return untouchable(exe)
}

func (d *discovery) lookAtDue(now time.Time) {
	later := d.due[:0]
	for _, l := range d.due {
		if l.at.After(now) {
			later = append(later, l)
			continue
		}
		d.lookAt(l.pid)
	}
	d.due = later
	d.door(now)
}

// door opens the socket door while a process with TLS runs, and shuts it else.
func (d *discovery) door(now time.Time) {
	if err := d.k.watchSockets(now.Before(d.doorUntil) || d.files.inUse()); err != nil {
		d.log.Error("TLS connections are not seen", "err", err)
	}
}

func (d *discovery) lookAtAll() {
	entries, err := os.ReadDir(d.proc)
	if err != nil {
		d.log.Error("processes with TLS are not found", "err", err)
		return
	}
	seen := map[int]bool{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			seen[pid] = true
			d.lookAt(pid)
		}
	}
	for _, pid := range d.pids() {
		if !seen[pid] {
			d.forget(pid)
		}
	}
	d.door(time.Now())
}

func (d *discovery) pids() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []int
	for pid := range d.procs {
		all = append(all, pid)
	}
	return all
}

// lookAt reads what a process maps, and attaches what has to be.
func (d *discovery) lookAt(pid int) {
	maps, err := executable.Mappings(d.proc, pid)
	if err != nil || len(maps) == 0 {
		d.forget(pid)
		return
	}
	p := &process{name: commOf(d.proc, pid), files: map[*file]string{}, others: map[Kind]string{}}
	for _, m := range maps {
		if m.Exe {
			if id, _, err := executable.Identify(m.Reach); err == nil && id == d.files.self {
				return
			}
			p.denied = d.isDenied(pid, m.Path)
		}
		if kind, _ := opaque(m.Path); kind != None {
			p.others[kind] = m.Path
			continue
		}
		if f := d.files.get(m.Reach, m.Exe); f != nil && (f.plan.kind != None || f.plan.bio != 0) {
			p.files[f] = m.Path
			d.files.use(f, pid)
			if p.denied == "" {
				d.files.attach(f, m.Reach)
			}
		}
	}
	if len(p.files) > 0 { // of others the kernel side will never hear
		if err := d.k.deny(pid, p.denied == leftOut); err != nil {
			d.log.Debug("a process's choice was not kept", "pid", pid, "err", err)
		}
	}
	p.described = p.describe(pid)
	d.replace(pid, p)
	if p.denied == "" && slices.ContainsFunc(maps, worksOnMemory) {
		d.watchMemory(pid)
	}
}

// replace puts a fresh look in the place of the last one.
func (d *discovery) replace(pid int, p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.procs[pid]; old != nil {
		for f := range old.files {
			if _, still := p.files[f]; !still {
				d.files.leave(f, pid)
			}
		}
		p.bio, p.bioAsked, p.untied = old.bio, old.bioAsked, old.untied
	}
	if len(p.files) == 0 && len(p.others) == 0 {
		uprobe.Detach(p.bio)
		delete(d.procs, pid)
		return
	}
	d.procs[pid] = p
}

func (d *discovery) forget(pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.procs[pid]
	if p == nil {
		return
	}
	for f := range p.files {
		d.files.leave(f, pid)
	}
	uprobe.Detach(p.bio)
	delete(d.procs, pid)
}

// watchMemory puts a probe at BIO_write for one process, whose TLS objects
// hand their records to the program instead of a socket. Where the library is
// a file of its own (libcrypto), other processes do not pay.
func (d *discovery) watchMemory(pid int) {
	d.mu.Lock()
	p := d.procs[pid]
	d.mu.Unlock()
	if p == nil || p.bioAsked {
		return
	}
	p.bioAsked = true
	maps, err := executable.Mappings(d.proc, pid)
	if err != nil {
		return
	}
	for _, m := range maps {
		f := d.files.get(m.Reach, m.Exe)
		if f == nil || f.plan.bio == 0 || f.plan.watchesBIO() {
			continue
		}
		links, err := d.k.attach(m.Reach, []uprobe.Point{{Program: "c_bio_write", Offsets: []uint64{f.plan.bio}}}, pid)
		if err != nil {
			d.log.Warn("a process's TLS cannot be tied to its sockets", "pid", pid, "file", m.Path, "err", err)
			continue
		}
		p.bio = append(p.bio, links...)
	}
}

// untied notes that a TLS object ended before its socket was known.
func (d *discovery) untied(pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.procs[pid]; p != nil {
		p.untied++
	}
}

// list describes all processes that use TLS, in order of pid.
func (d *discovery) list() []Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Process
	for _, p := range d.procs {
		for _, t := range p.described {
			if t.Attached && p.untied > 0 {
				t.Reason = fmt.Sprintf("of %d of its TLS connections the socket was not learnt", p.untied)
			}
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.File, b.File))
	})
	return all
}

func (d *discovery) close() {
	for _, pid := range d.pids() {
		d.forget(pid)
	}
	d.files.close()
}
