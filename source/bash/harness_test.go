package bash

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/config"
	"weft/ledger"
	"weft/record"
)

// patience bounds every wait.
const patience = 60 * time.Second

// lab is a source at work in a test.
type lab struct {
	t      *testing.T
	source *Source
	led    *ledger.Ledger
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	rows   []*record.Bash
}

func begin(t *testing.T) *lab {
	t.Helper()
	needRoot(t)
	l := &lab{t: t, led: ledger.New(), done: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	session := func(pid uint32) string { return fmt.Sprint("session of ", pid) }
	s, err := New(&config.Config{}, Options{Session: session}, l.led, log)
	if err != nil {
		t.Fatal(err)
	}
	l.source = s
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.done <- s.Run(ctx, l.emit) }()
	t.Cleanup(cancel)
	return l
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lab) emit(batch []record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range batch {
		l.rows = append(l.rows, r.(*record.Bash))
	}
}

// end stops the source and returns the commands of each shell, in order.
func (l *lab) end() map[string][]*record.Bash {
	l.t.Helper()
	l.cancel()
	if err := <-l.done; err != nil {
		l.t.Errorf("the source ended with: %v", err)
	}
	for _, s := range l.led.Snapshot() {
		for reason, n := range s.Dropped {
			if n != 0 && reason != "empty" {
				l.t.Errorf("%s dropped %d: %s", s.Stage, n, reason)
			}
		}
	}
	by := map[string][]*record.Bash{}
	for _, r := range l.rows {
		by[r.Pid] = append(by[r.Pid], r)
	}
	return by
}

// shell is an interactive bash on a terminal of its own.
type shell struct {
	t   *testing.T
	cmd *exec.Cmd
	pty *os.File
	mu  sync.Mutex
	out bytes.Buffer
	// prompts is how many prompts were waited for.
	prompts int
}

const (
	first = "@first@"
	more  = "@more@"
)

// open starts a program on a terminal and waits for its first prompt.
func open(t *testing.T, change func(*exec.Cmd), name string, args ...string) *shell {
	t.Helper()
	pty, tty := terminal(t)
	defer tty.Close()
	s := &shell{t: t, cmd: exec.Command(name, args...), pty: pty}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.Env = []string{"PS1=" + first, "PS2=" + more, "TERM=dumb", "LC_ALL=C.UTF-8", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if change != nil {
		change(s.cmd)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read()
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait(); pty.Close() })
	s.await(first)
	return s
}

// terminal makes a pair of pseudo terminals; a guest of the VM lab has no devpts yet.
func terminal(t *testing.T) (pty, tty *os.File) {
	t.Helper()
	dir := "/dev/pts"
	if _, err := os.Stat(filepath.Join(dir, "ptmx")); err != nil {
		dir = t.TempDir()
		if err := unix.Mount("devpts", dir, "devpts", 0, "newinstance,ptmxmode=0666"); err != nil {
			t.Fatalf("mount devpts: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	pty, err := os.OpenFile(filepath.Join(dir, "ptmx"), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		pty, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pty, tty
}

func (s *shell) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.pty.Read(buf)
		s.mu.Lock()
		s.out.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits for the next prompt of a kind.
func (s *shell) await(prompt string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		i := bytes.Index(s.out.Bytes(), []byte(prompt))
		if i >= 0 {
			s.out.Next(i + len(prompt))
		}
		s.mu.Unlock()
		if i >= 0 {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Fatalf("no prompt %s came; the terminal has %q", prompt, s.out.String())
}

// enter types a line and waits for the next prompt.
func (s *shell) enter(line, prompt string) {
	s.t.Helper()
	s.typed(line + "\n")
	s.await(prompt)
}

func (s *shell) typed(text string) {
	s.t.Helper()
	if _, err := s.pty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// run types lines that are whole commands.
func (s *shell) run(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		s.enter(line, first)
	}
}

func (s *shell) pid() string { return strconv.Itoa(s.cmd.Process.Pid) }

// want compares what was seen of a shell with what was typed.
func (s *shell) want(by map[string][]*record.Bash, commands ...string) {
	s.t.Helper()
	got := by[s.pid()]
	for i := range max(len(got), len(commands)) {
		switch {
		case i >= len(got):
			s.t.Errorf("%s: command %d was not seen: %q", s.cmd.Path, i, commands[i])
		case i >= len(commands):
			s.t.Errorf("%s: more than was typed: %q", s.cmd.Path, got[i].Cmd)
		case got[i].Cmd != commands[i]:
			s.t.Errorf("%s: command %d: %q, want %q", s.cmd.Path, i, got[i].Cmd, commands[i])
		}
		if s.t.Failed() && i > 20 {
			return
		}
	}
}

// bashPath skips without a bash: the VM lab packs one with -bin bash.
func bashPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	return path
}
