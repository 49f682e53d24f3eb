package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host asks for the machine's own kernel: the same binaries, one column more to compare with.
const host = "host"

func hostKernel() (kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return kernel{}, fmt.Errorf("asking for the host's kernel: %w", err)
	}
	return kernel{want: host, version: unix.ByteSliceToString(u.Release[:])}, nil
}

// runHost runs the binaries natively, each in its package's folder.
func (l lab) runHost(ctx context.Context, r *run) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.machine.timeout, errTimeout)
	defer cancel()
	for _, t := range l.payload.tests {
		start := time.Now()
		cmd := exec.CommandContext(ctx, t.file, l.payload.args...)
		cmd.Dir = t.dir
		cmd.WaitDelay = 2 * time.Second // a daemon left behind holds the pipe open
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			return fmt.Errorf("running %s: %w", t.pkg, err)
		}
		code := cmd.ProcessState.ExitCode()
		if code < 0 { // a signal, ours at the timeout among them
			code = 128 + int(cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
		}
		r.report.parts = append(r.report.parts, part{pkg: t.pkg, output: string(out), exit: code, took: time.Since(start)})
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	if len(r.results) == 0 {
		return errNothingRan
	}
	return nil
}
