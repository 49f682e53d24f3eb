package bash

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"weft/ledger"
	"weft/probe/account"
	"weft/record"
)

const (
	// running is how long after a line nothing was asked for when the command is
	// taken to be running: bash asks for the rest of one within microseconds.
	running = 500 * time.Millisecond
	// maxLine is how many bytes of a line are kept (bash.h), maxCommand of a
	// command of many.
	maxLine    = 4096
	maxCommand = 64 << 10
	// maxShells bounds the shells with a command at hand.
	maxShells = 1 << 16
)

// command is what a shell was given and may ask more of.
type command struct {
	row   record.Bash
	lines []string
	size  int
	last  uint64 // when the last line came, ns since boot
	// asked: bash has asked for another line of it.
	asked bool
	// executed: the last line is as it was executed.
	executed bool
}

// commands joins lines to commands. One goroutine uses it.
type commands struct {
	names   *account.Names
	session func(uint32) string
	stage   *ledger.Stage
	open    map[uint32]*command // by pid
}

func newCommands(names *account.Names, session func(uint32) string, stage *ledger.Stage) *commands {
	return &commands{names: names, session: session, stage: stage, open: map[uint32]*command{}}
}

// event takes a prompt or a line, and returns the commands that end with it.
func (c *commands) event(e *bpfBashEvent, line []byte, at clock) []record.Record {
	open := c.open[e.Tgid]
	if e.Kind == bpfBashKindEV_PROMPT {
		if open != nil && e.Lines > 0 {
			open.asked = true // the command goes on
			return nil
		}
		return c.end(e.Tgid)
	}
	text, cut := clean(line)
	if e.Kind == bpfBashKindEV_EXECUTED && open != nil {
		open.execute(strings.TrimSuffix(text, "\n"), cut) // lines of a here-document have it
		return nil
	}
	if open != nil && open.asked {
		open.add(text, cut, e.Time)
		return nil
	}
	if open != nil && open.repeats(text, e.Time) {
		return nil
	}
	done := c.end(e.Tgid)
	if len(c.open) >= maxShells {
		c.stage.Drop("shells_full", 1)
		return done
	}
	open = &command{row: record.Bash{
		Time: at.wall(e.Time), Source: "bash", SessionID: c.session(e.Tgid), Pid: strconv.FormatUint(uint64(e.Tgid), 10),
		User: c.names.Name(e.Tgid, account.Place{MountNS: e.Mntns, UserNS: e.Userns, Root: e.RootIno}, e.Uid),
		UID:  int64(e.Uid),
	}}
	open.add(text, cut, e.Time)
	c.open[e.Tgid] = open
	return done
}

// repeats tells of a line that is told of twice. bash asks before each line, so
// there is none without a prompt: but a file that two containers share through
// overlays has a probe from each.
func (o *command) repeats(line string, at uint64) bool {
	return len(o.lines) > 0 && o.lines[len(o.lines)-1] == line && at-o.last < uint64(time.Millisecond)
}

func (o *command) add(line string, cut bool, at uint64) {
	o.last, o.asked, o.executed = at, false, false
	if o.size+len(line) > maxCommand {
		o.row.Truncated, o.executed = true, true
		return
	}
	o.size += len(line)
	o.row.Truncated = o.row.Truncated || cut
	o.lines = append(o.lines, line)
}

// execute puts the line as bash executes it in the place of the one typed.
func (o *command) execute(line string, cut bool) {
	if o.executed || len(o.lines) == 0 {
		return
	}
	o.executed = true
	last := &o.lines[len(o.lines)-1]
	o.size += len(line) - len(*last)
	o.row.Truncated = o.row.Truncated || cut
	*last = line
}

// end makes the record of the command at hand; of an empty one there is none.
func (c *commands) end(pid uint32) []record.Record {
	o := c.open[pid]
	if o == nil {
		return nil
	}
	delete(c.open, pid)
	c.stage.In(1)
	o.row.Cmd = strings.Join(o.lines, "\n")
	if strings.TrimSpace(o.row.Cmd) == "" {
		c.stage.Drop("empty", 1)
		return nil
	}
	o.row.Message = fmt.Sprintf("%s pid:`%s` user:`%s` cmd:`%s`", time.Unix(0, o.row.Time).Format(time.RFC3339),
		o.row.Pid, o.row.User, o.row.Cmd)
	c.stage.Out(1)
	return []record.Record{&o.row}
}

// settle ends the commands that are running by now.
func (c *commands) settle(now uint64) []record.Record {
	return c.endAll(func(_ uint32, o *command) bool { return !o.asked && now > o.last+uint64(running) })
}

// forget ends the commands of shells that have gone.
func (c *commands) forget(gone func(uint32) bool) []record.Record {
	return c.endAll(func(pid uint32, _ *command) bool { return gone(pid) })
}

func (c *commands) endAll(over func(uint32, *command) bool) []record.Record {
	var done []record.Record
	for pid, o := range c.open {
		if over(pid, o) {
			done = append(done, c.end(pid)...)
		}
	}
	return done
}

// clean makes text of a line, and cuts one that is too long.
func clean(line []byte) (text string, cut bool) {
	if cut = len(line) > maxLine; cut {
		line = line[:maxLine]
		for n := 1; n < utf8.UTFMax && n <= len(line); n++ { // not within a character
			if b := line[len(line)-n]; utf8.RuneStart(b) {
				if !utf8.FullRune(line[len(line)-n:]) {
					line = line[:len(line)-n]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(string(line), "\uFFFD"), cut
}

// clock turns times since boot into Unix time.
type clock struct{ offset int64 }

func newClock() clock {
	var wall unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall) // cannot fail for this clock
	return clock{wall.Nano() - int64(boottime())}
}

func (c clock) wall(boot uint64) int64 { return int64(boot) + c.offset }

func boottime() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // cannot fail for this clock
	return uint64(t.Nano())
}
