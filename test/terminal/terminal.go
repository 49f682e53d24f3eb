// Package terminal runs programs on pseudo terminals, for tests and the bench
// to type into.
package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The prompts of shells that Environ is given to, for the first line of a
// command and for more.
const (
	First = "@first@"
	More  = "@more@"
)

// patience bounds every wait.
const patience = 60 * time.Second

// Environ is what a shell needs to have the prompts.
func Environ() []string {
	return []string{
		"PS1=" + First, "PS2=" + More, "TERM=dumb", "LC_ALL=C.UTF-8", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH"),
	}
}

// Program runs on a terminal of its own, as the leader of a session.
type Program struct {
	Cmd *exec.Cmd

	pty     *os.File
	devpts  string // mounted by us
	mu      sync.Mutex
	out     bytes.Buffer
	written chan struct{}
}

// Start starts cmd on a new terminal. Its streams and the session are set here,
// and its environment when it has none.
func Start(cmd *exec.Cmd) (*Program, error) { return StartAfter(cmd, "") }

// StartAfter is Start with text that is typed before.
func StartAfter(cmd *exec.Cmd, text string) (*Program, error) {
	p := &Program{Cmd: cmd, written: make(chan struct{}, 1)}
	tty, err := p.open()
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if cmd.Env == nil {
		cmd.Env = Environ()
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := p.Type(text); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start on a terminal: %w", err), p.Close())
	}
	go p.read()
	return p, nil
}

// open makes the pair; where there are no pseudo terminals yet, as in a guest of
// the VM lab, they are mounted.
func (p *Program) open() (tty *os.File, err error) {
	dir := "/dev/pts"
	if _, err := os.Stat(filepath.Join(dir, "ptmx")); err != nil {
		if dir, err = os.MkdirTemp("", "devpts"); err != nil {
			return nil, err
		}
		if err := unix.Mount("devpts", dir, "devpts", 0, "newinstance,ptmxmode=0666"); err != nil {
			return nil, fmt.Errorf("mount devpts: %w", err)
		}
		p.devpts = dir
	}
	if p.pty, err = os.OpenFile(filepath.Join(dir, "ptmx"), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		if p.pty, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			return nil, err
		}
	}
	if err := unix.IoctlSetPointerInt(int(p.pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(int(p.pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name the terminal: %w", err)
	}
	return os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_RDWR|unix.O_NOCTTY, 0)
}

func (p *Program) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.pty.Read(buf)
		p.mu.Lock()
		p.out.Write(buf[:n])
		p.mu.Unlock()
		select {
		case p.written <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Await waits until the program has written text, and takes what is before it
// for read. It returns that.
func (p *Program) Await(text string) (string, error) {
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		i := bytes.Index(p.out.Bytes(), []byte(text))
		if i >= 0 {
			before := string(p.out.Next(i))
			p.out.Next(len(text))
			p.mu.Unlock()
			return before, nil
		}
		seen := p.out.String()
		p.mu.Unlock()
		select {
		case <-p.written:
		case <-timeout:
			return "", fmt.Errorf("%q did not come; the terminal has %q", text, seen)
		}
	}
}

// Type types text.
func (p *Program) Type(text string) error {
	_, err := p.pty.WriteString(text)
	return err
}

// Enter types a line and waits for a prompt; it returns what came before it.
func (p *Program) Enter(line, prompt string) (string, error) {
	if err := p.Type(line + "\n"); err != nil {
		return "", err
	}
	return p.Await(prompt)
}

// PID is the program's process.
func (p *Program) PID() string { return strconv.Itoa(p.Cmd.Process.Pid) }

// Close kills the program, if it still runs, and gives the terminal back.
func (p *Program) Close() error {
	var errs []error
	if p.Cmd.Process != nil {
		_ = p.Cmd.Process.Kill() // it may have ended
		_ = p.Cmd.Wait()         // killed
	}
	if p.pty != nil {
		errs = append(errs, p.pty.Close())
	}
	if p.devpts != "" {
		errs = append(errs, unix.Unmount(p.devpts, unix.MNT_DETACH), os.Remove(p.devpts))
	}
	return errors.Join(errs...)
}
