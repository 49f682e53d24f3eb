package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server or a collector that this program started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	out  output
	name string
}

// output collects what a process says, for messages and its own count.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// spawn starts a command, in a process group of its own so that Ctrl-C reaches
// only this program, which then ends everything in order. Its standard output
// goes to the file when there is one.
func spawn(in *namespace, to *os.File, argv ...string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), name: argv[0]}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if to != nil {
		p.cmd.Stdout = to
	}
	p.cmd.WaitDelay = time.Second
	start := p.cmd.Start
	if in != nil {
		start = func() error { return in.do(p.cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, p.out.text())
	default:
		return nil
	}
}

// stop asks the process to end and, when it does not, kills its group.
func (p *process) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", p.name, grace)
	}
	return nil
}
