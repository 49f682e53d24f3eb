package bash

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/record"
	"weft/test/terminal"
)

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

const first, more = terminal.First, terminal.More

// shell is an interactive bash on a terminal of its own.
type shell struct {
	*terminal.Program
	t *testing.T
}

// open starts a program on a terminal and waits for its first prompt.
func open(t *testing.T, change func(*exec.Cmd), name string, args ...string) *shell {
	t.Helper()
	cmd := exec.Command(name, args...)
	if change != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		change(cmd)
	}
	p, err := terminal.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s := &shell{p, t}
	s.await(first)
	return s
}

// ahead is open with text that is typed before the program begins.
func ahead(t *testing.T, text, name string) *shell {
	t.Helper()
	p, err := terminal.StartAfter(exec.Command(name, "--norc", "--noprofile", "-i"), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &shell{p, t}
}

func (s *shell) await(prompt string) {
	s.t.Helper()
	if _, err := s.Await(prompt); err != nil {
		s.t.Fatal(err)
	}
}

// enter types a line and waits for the next prompt.
func (s *shell) enter(line, prompt string) {
	s.t.Helper()
	s.typed(line + "\n")
	s.await(prompt)
}

func (s *shell) typed(text string) {
	s.t.Helper()
	if err := s.Type(text); err != nil {
		s.t.Fatal(err)
	}
}

// interrupt types Ctrl-C behind a prompt. A shell has shown that before it waits
// for input, and one that is interrupted in between sees it at the next key only.
func (s *shell) interrupt() {
	s.t.Helper()
	time.Sleep(500 * time.Millisecond)
	s.typed("\x03")
	s.await(first)
}

// run types lines that are whole commands.
func (s *shell) run(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		s.enter(line, first)
	}
}

// want compares what was seen of a shell with what was typed.
func (s *shell) want(by map[string][]*record.Bash, commands ...string) {
	s.t.Helper()
	got := by[s.PID()]
	for i := range max(len(got), len(commands)) {
		switch {
		case i >= len(got):
			s.t.Errorf("%s: command %d was not seen: %q", s.Cmd.Path, i, commands[i])
		case i >= len(commands):
			s.t.Errorf("%s: more than was typed: %q", s.Cmd.Path, got[i].Cmd)
		case got[i].Cmd != commands[i]:
			s.t.Errorf("%s: command %d: %q, want %q", s.Cmd.Path, i, got[i].Cmd, commands[i])
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
