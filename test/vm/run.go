package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// errNothingRan keeps a misspelt -run from passing.
var errNothingRan = errors.New("no test ran; does -run match any?")

// run is everything about one kernel.
type run struct {
	kernel  kernel
	report  report
	results []result
	err     error // the kernel could not be judged
	took    time.Duration
}

// lab is what all runs share.
type lab struct {
	qemu    qemu
	machine machine
	payload payload
	modules []string
	work    string // of this run alone, removed at the end
	logs    string // of the last run of each kernel
}

// runKernel judges one kernel.
func (l lab) runKernel(ctx context.Context, k kernel) run {
	start := time.Now()
	r := run{kernel: k}
	if k.want == host {
		r.err = l.runHost(ctx, &r)
	} else {
		r.err = l.runGuest(ctx, &r)
	}
	r.took = time.Since(start)
	return r
}

func (l lab) runGuest(ctx context.Context, r *run) error {
	if err := l.qemu.refuses(r.kernel.version); err != nil {
		return err
	}
	initrd := filepath.Join(l.work, r.kernel.version+".cpio")
	if err := l.pack(initrd, r); err != nil {
		return err
	}
	defer os.Remove(initrd)
	logs := filepath.Join(l.work, r.kernel.version)
	if err := os.Mkdir(logs, 0o755); err != nil {
		return fmt.Errorf("making the log folder: %w", err)
	}
	defer l.keep(logs)
	console, reportFile := filepath.Join(logs, "console.log"), filepath.Join(logs, "report.log")
	bootErr := l.qemu.boot(ctx, l.machine, r.kernel, initrd, console, reportFile)
	text, err := os.ReadFile(reportFile) // also of a guest that was ended
	if err != nil {
		return errors.Join(bootErr, fmt.Errorf("reading the report: %w", err))
	}
	notes := r.report.notes
	r.report = parseReport(string(text))
	r.report.notes = append(notes, r.report.notes...)
	if err := r.read(ctx); err != nil {
		return errors.Join(bootErr, err)
	}
	return errors.Join(bootErr, r.judge(console))
}

// keep moves the logs to where they outlive the run. Two runs at a time may overwrite each other's only here.
func (l lab) keep(logs string) {
	kept := filepath.Join(l.logs, filepath.Base(logs))
	err := errors.Join(os.MkdirAll(l.logs, 0o755), os.RemoveAll(kept), os.Rename(logs, kept))
	if err != nil {
		warn("keeping the logs: %v", err)
	}
}

func (l lab) pack(initrd string, r *run) error {
	tree, err := openModuleTree(r.kernel.modules)
	if err != nil {
		return err
	}
	modules, missing, err := tree.resolve(l.modules)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		r.report.notes = append(r.report.notes, "not in this kernel: "+strings.Join(missing, ", "))
	}
	return writeInitrd(initrd, l.payload, modules)
}

// read turns each package's output into results.
func (r *run) read(ctx context.Context) error {
	for _, p := range r.report.parts {
		cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", p.pkg)
		cmd.Stdin = strings.NewReader(p.output)
		events, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("go tool test2json: %w", err)
		}
		list, err := collect(p.pkg, bytes.NewReader(events), p.exit)
		if err != nil {
			return err
		}
		r.results = append(r.results, list...)
	}
	return nil
}

// judge finds what no test tells: a kernel that died, complained, or ran nothing.
func (r *run) judge(console string) error {
	text, err := os.ReadFile(console)
	if err != nil {
		return fmt.Errorf("reading the console: %w", err)
	}
	if !r.report.done {
		return fmt.Errorf("the guest ended before its job; console:\n%s", excerpt(string(text)))
	}
	if line := complaint(string(text)); line != "" {
		return fmt.Errorf("the kernel complained: %s", line)
	}
	if len(r.results) == 0 {
		return errNothingRan
	}
	return nil
}

// excerpt shows what a console says about the end: from the first complaint on, since a trace's top tells most, or
// else its last lines.
func excerpt(console string) string {
	const lines = 40
	first := complaint(console)
	if first == "" {
		return tail(console, lines)
	}
	all := strings.Split(console[strings.Index(console, first):], "\n")
	return strings.TrimSpace(strings.Join(all[:min(lines, len(all))], "\n"))
}

// complaint finds the first line by which a kernel reports a defect. WARN lines do not reach a quiet console.
func complaint(console string) string {
	bad := regexp.MustCompile(`(?m)^.*(BUG: |Oops: |general protection fault|Kernel panic|soft lockup|rcu_.*stall).*$`)
	return strings.TrimSpace(bad.FindString(console))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
