//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/vm/guest"
)

// failedToRun is the exit code of a test binary that was not started.
const failedToRun = 125

// runTest runs one binary and copies its output to out.
func runTest(t guest.Test, out io.Writer) (code int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return failedToRun, fmt.Errorf("making a pipe: %w", err)
	}
	defer r.Close()
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return failedToRun, fmt.Errorf("opening stdin: %w", err)
	}
	defer stdin.Close()
	p, err := os.StartProcess(t.Path, append([]string{t.Path}, t.Args...), &os.ProcAttr{
		Dir: t.Dir, Env: environment(), Files: []*os.File{stdin, w, w},
	})
	w.Close()
	if err != nil {
		return failedToRun, fmt.Errorf("starting %s: %w", t.Package, err)
	}
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(out, r) }()
	code = waitReaping(p.Pid)
	select {
	case <-copied:
	case <-time.After(2 * time.Second): // a daemon left behind holds the pipe open
	}
	return code, nil
}

// environment is what a login shell of root would have, no more.
func environment() []string {
	return []string{"HOME=/root", "USER=root", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "TMPDIR=/tmp"}
}

// waitReaping waits for pid and, as process 1 must, buries every orphan meanwhile. A test that asks whether a process
// is gone would otherwise see its zombie.
func waitReaping(pid int) (code int) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return failedToRun
		case got != pid:
			continue
		case ws.Signaled():
			return 128 + int(ws.Signal())
		}
		return ws.ExitStatus()
	}
}
