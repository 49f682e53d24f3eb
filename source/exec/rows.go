package exec

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/ledger"
	"weft/probe/account"
	"weft/record"
)

const (
	// maxLive bounds the programs whose start is remembered for their end.
	maxLive = 1 << 16
	// sweepEvery is how often they are gone through when there are too many.
	sweepEvery = time.Minute
	// maxContainers bounds the cgroups that are remembered.
	maxContainers = 4096
)

// begun is a program that runs: what was told at its start.
type begun struct {
	at  uint64 // ns since boot
	row record.Exec
}

// containerKey tells the cgroups of a machine apart; where cgroup v1 is in use,
// only the mount namespace does.
type containerKey struct {
	cgroup uint64
	mntns  uint32
}

// rows makes records of events. One goroutine uses it.
type rows struct {
	redact    *redactor
	next      atomic.Pointer[redactor]
	stage     *ledger.Stage
	names     *account.Names
	container func(uint32) (string, bool)
	session   func(sid uint32, leaderStart uint64) string
	live      map[uint32]*begun
	// runs tells whether a program still runs, for those whose end was lost.
	runs       func(pid uint32, began uint64) bool
	swept      time.Time
	containers map[containerKey]string
}

// setRedactor is called from another goroutine.
func (r *rows) setRedactor(to *redactor) { r.next.Store(to) }

// clock turns times since boot into Unix time.
type clock struct{ offset int64 }

func newClock() clock {
	var boot, wall unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) // neither can fail
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return clock{wall.Nano() - boot.Nano()}
}

func (c clock) wall(boot uint64) int64 { return int64(boot) + c.offset }

// event makes the record of one event; nil when there is none to make.
func (r *rows) event(b []byte, c clock) record.Record {
	if next := r.next.Swap(nil); next != nil {
		r.redact = next
	}
	if len(b) < int(unsafe.Sizeof(bpfExecEvent{})) {
		r.stage.Drop("short_event", 1)
		return nil
	}
	r.stage.Out(1)
	e := (*bpfExecEvent)(unsafe.Pointer(&b[0])) // the reader's buffer is aligned
	if e.Kind == bpfExecKindEV_START {
		return r.start(e, b[unsafe.Sizeof(*e):], c)
	}
	return r.end(e, c)
}

func (r *rows) start(e *bpfExecEvent, data []byte, c clock) *record.Exec {
	exe, rest := split(data, e.ExeLen)
	cwd, rest := split(rest, e.CwdLen)
	args, _ := split(rest, e.ArgsLen)
	argv := arguments(args, e.ArgsAll)
	row := record.Exec{
		Time: c.wall(e.Time), Source: "exec", Event: "start", SessionID: r.session(e.Sid, e.LeaderStart),
		ContainerID: r.containerOf(e), Cmd: quote(r.redact.arguments(argv)),
		Exe: path(exe), Cwd: path(cwd), Pid: decimal(e.Tgid), Ppid: decimal(e.Ppid), UID: int64(e.Uid),
		User: r.names.Name(e.Tgid, account.Place{MountNS: e.Mntns, UserNS: e.Userns, Root: e.RootIno}, e.Uid),
		TTY:  terminal(e.Tty[:]), ExecID: fmt.Sprintf("%d-%x", e.Tgid, e.Began), ArgsTruncated: e.ArgsLen < e.ArgsAll,
	}
	if len(r.live) >= maxLive && time.Since(r.swept) > sweepEvery {
		r.swept = time.Now()
		maps.DeleteFunc(r.live, func(pid uint32, b *begun) bool { return !r.runs(pid, b.at) })
	}
	if len(r.live) >= maxLive {
		r.stage.Drop("live_full", 1) // its end will have no more than its number
	} else {
		r.live[e.Tgid] = &begun{at: e.Began, row: row}
	}
	row.Message = fmt.Sprintf("started pid:`%s` user:`%s` cwd:`%s` cmd:`%s`", row.Pid, row.User, row.Cwd, row.Cmd)
	return &row
}

func (r *rows) end(e *bpfExecEvent, c clock) *record.Exec {
	row := record.Exec{Source: "exec", Pid: decimal(e.Tgid), ExecID: fmt.Sprintf("%d-%x", e.Tgid, e.Began)}
	if b := r.live[e.Tgid]; b != nil && b.at == e.Began {
		row = b.row
		delete(r.live, e.Tgid)
	}
	row.Time, row.Ppid = c.wall(e.Time), decimal(e.Ppid)
	row.ExecEnd = &record.ExecEnd{Duration: int64(e.Time - e.Began)}
	if e.Kind == bpfExecKindEV_REPLACED {
		row.Event = "replaced"
		row.Message = fmt.Sprintf("replaced pid:`%s` user:`%s` cmd:`%s`", row.Pid, row.User, row.Cmd)
		return &row
	}
	row.Event, row.SessionID = "exit", r.session(e.Sid, e.LeaderStart)
	row.ExecStatus = status(e.ExitCode)
	row.Message = fmt.Sprintf("exited pid:`%s` user:`%s` status:`%d` cmd:`%s`", row.Pid, row.User,
		row.ExitCode, row.Cmd)
	return &row
}

// containerOf asks once for each cgroup.
func (r *rows) containerOf(e *bpfExecEvent) string {
	key := containerKey{e.Cgroup, e.Mntns}
	if id, known := r.containers[key]; known || r.container == nil {
		return id
	}
	id, ok := r.container(e.Tgid)
	if !ok {
		return ""
	}
	if len(r.containers) >= maxContainers {
		clear(r.containers)
	}
	r.containers[key] = id
	return id
}

// status decodes what wait(2) says.
func status(code int32) *record.ExecStatus {
	ws := unix.WaitStatus(code)
	if ws.Signaled() {
		return &record.ExecStatus{ExitCode: 128 + int64(ws.Signal()), Signal: unix.SignalName(ws.Signal())}
	}
	return &record.ExecStatus{ExitCode: int64(ws.ExitStatus())}
}

// split cuts n bytes off, or what there is.
func split(b []byte, n uint32) (part, rest []byte) {
	n = min(n, uint32(len(b)))
	return b[:n], b[n:]
}

// arguments are the strings of an argv; a cut one keeps its beginning.
func arguments(b []byte, all uint32) []string {
	if len(b) == 0 {
		return nil
	}
	if uint32(len(b)) >= all {
		b = bytes.TrimSuffix(b, []byte{0})
	}
	return strings.Split(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00")
}

// path joins names of which the last comes first.
func path(b []byte) string {
	names := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	slices.Reverse(names)
	return strings.ToValidUTF8("/"+strings.Join(names, "/"), "\uFFFD")
}

// terminal is the name below /dev: the kernel calls pts/0 pts0.
func terminal(name []int8) string {
	var b []byte
	for _, c := range name {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	if n, ok := strings.CutPrefix(string(b), "pts"); ok && n != "" {
		return "pts/" + n
	}
	return string(b)
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
