//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"weft/test/vm/guest"
)

// report is the serial line to the host. Marks and test output share it, so it is locked, and it knows whether it
// stands at the start of a line: a mark glued to a test's unfinished line would be lost.
type report struct {
	mu      sync.Mutex
	tty     *os.File
	midLine bool
}

// openReport makes the device nodes appear and opens the line raw: a cooked one turns \n into \r\n.
func openReport(tty string) (*report, error) {
	if err := unix.Mount("dev", "/dev", "devtmpfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("mounting /dev: %w", err)
	}
	f, err := os.OpenFile(tty, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the report line: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("reading the report line's mode: %w", err)
	}
	t.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("setting the report line raw: %w", err)
	}
	return &report{tty: f}, nil
}

// Write passes test output on.
func (r *report) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(p)
}

func (r *report) write(p []byte) (int, error) {
	if len(p) > 0 {
		r.midLine = p[len(p)-1] != '\n'
	}
	return r.tty.Write(p)
}

// say writes one marked line. Nobody could be told of an error, the host notices the missing Done.
func (r *report) say(words ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := guest.Mark + strings.ReplaceAll(strings.Join(words, " "), "\n", " | ") + "\n"
	if r.midLine {
		line = "\n" + line
	}
	_, _ = r.write([]byte(line))
}

// drain waits until the last byte has left the (emulated) port.
func (r *report) drain() {
	_ = unix.IoctlSetInt(int(r.tty.Fd()), unix.TCSBRK, 1)
}
