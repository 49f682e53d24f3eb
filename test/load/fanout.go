package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"weft/test/load/traffic"
)

// fanOut runs o.procs processes of this program, says ready when all are, and
// sums their counts.
func fanOut(ctx context.Context, o options) (traffic.Result, error) {
	// A child is told to end when the thread that started it ends, which must
	// therefore live as long as this process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	parts := make([]*part, o.procs)
	var err error
	for i := range parts {
		if parts[i], err = start(ctx, o, i); err != nil {
			stopAll(parts)
			return traffic.Result{}, err
		}
	}
	first, err := gather(o.mode, parts)
	if err == nil && first.Ready {
		_ = emit(first)
		first, err = gather(o.mode, parts)
	}
	if err != nil {
		stopAll(parts)
	}
	for _, p := range parts {
		// Being told to end is how a part ends well.
		if werr := p.cmd.Wait(); ctx.Err() == nil || !errors.Is(werr, ctx.Err()) {
			err = errors.Join(err, werr)
		}
	}
	return first, err
}

// part is one of the processes.
type part struct {
	cmd *exec.Cmd
	out *json.Decoder
}

func start(ctx context.Context, o options, i int) (*part, error) {
	share := o.n / int64(o.procs)
	if i == 0 {
		share += o.n % int64(o.procs)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, o.mode,
		"-listen", portAbove(o.listen, i), "-to", portAbove(o.to, i), "-hosts", strconv.Itoa(o.hosts),
		"-n", strconv.FormatInt(share, 10), "-limit", o.limit.String(), "-hold", o.hold.String())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting process %d: %w", i, err)
	}
	return &part{cmd: cmd, out: json.NewDecoder(bufio.NewReader(pipe))}, nil
}

func portAbove(a netip.AddrPort, i int) string {
	return netip.AddrPortFrom(a.Addr(), a.Port()+uint16(i)).String()
}

// gather reads one line of each process and sums them.
func gather(mode string, parts []*part) (traffic.Result, error) {
	var (
		wg    sync.WaitGroup
		lines = make([]traffic.Result, len(parts))
		errs  = make([]error, len(parts))
	)
	for i, p := range parts {
		wg.Go(func() { errs[i] = p.out.Decode(&lines[i]) })
	}
	wg.Wait()
	sum := traffic.Result{Mode: mode, Ready: lines[0].Ready}
	for _, line := range lines {
		sum.Add(line)
	}
	if err := errors.Join(errs...); err != nil {
		return sum, fmt.Errorf("reading the counts: %w", err)
	}
	return sum, nil
}

func stopAll(parts []*part) {
	for _, p := range parts {
		if p != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}
