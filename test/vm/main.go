//go:build linux

// Command vm runs the project's Go test binaries inside Debian kernels under QEMU and prints a table of tests ×
// kernels. docs/vm-lab.md tells how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// errNotAllPassed ends the program with 1 and needs no message: the table has it.
var errNotAllPassed = errors.New("not all passed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opt, err := parseFlags(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	err = test(ctx, opt)
	if err != nil && !errors.Is(err, errNotAllPassed) {
		fmt.Fprintln(os.Stderr, "vm:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}

// test does everything, top to bottom.
func test(ctx context.Context, opt options) error {
	q, err := findQEMU(ctx)
	if err != nil {
		return err
	}
	if q.old() {
		warn("QEMU %d is too old for kernels from 6.12 on; `make vm-deps` installs QEMU 10", q.major)
	}
	// Inside the cache, so that the logs can be renamed from here.
	work, err := workFolder(opt.cache)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	p, err := buildPayload(ctx, opt, work)
	if err != nil {
		return err
	}
	kernels, err := findKernels(ctx, opt)
	if err != nil {
		return err
	}
	l := lab{
		qemu: q, machine: opt.machine, payload: p, modules: opt.modules,
		work: work, logs: filepath.Join(opt.cache, "logs"),
	}
	runs := l.runAll(ctx, kernels, opt.jobs)
	printTable(os.Stdout, runs)
	printDetails(os.Stdout, runs)
	if !printSummary(os.Stdout, runs) {
		fmt.Println("consoles and outputs:", l.logs)
		return errNotAllPassed
	}
	return nil
}

func workFolder(cache string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	dir, err := os.MkdirTemp(cache, "work-")
	if err != nil {
		return "", fmt.Errorf("making a work folder: %w", err)
	}
	return dir, nil
}

func buildPayload(ctx context.Context, opt options, work string) (payload, error) {
	tests, without, err := buildTests(ctx, opt.packages, work)
	if err != nil {
		return payload{}, err
	}
	if len(without) > 0 {
		warn("no tests in %s", strings.Join(without, ", "))
	}
	if len(tests) == 0 {
		return payload{}, errors.New("nothing to run: no package has tests")
	}
	init, err := buildInit(ctx, work)
	return payload{init: init, tests: tests, args: opt.testArgs(), files: opt.files}, err
}

// findKernels holds a lock: two runs may share the cache.
func findKernels(ctx context.Context, opt options) ([]kernel, error) {
	unlock, err := lock(filepath.Join(opt.cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	store := kernelStore{cache: opt.cache, flavour: opt.flavour, refresh: opt.refresh, warn: warn}
	var list []kernel
	for _, want := range opt.kernels {
		k, err := store.find(ctx, want)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

// runAll boots so many kernels at a time and returns the runs in the order asked for.
func (l lab) runAll(ctx context.Context, kernels []kernel, jobs int) []run {
	runs := make([]run, len(kernels))
	slots := make(chan struct{}, jobs)
	var wg sync.WaitGroup
	for i, k := range kernels {
		slots <- struct{}{}
		fmt.Printf("booting %s\n", k.version)
		wg.Go(func() {
			runs[i] = l.runKernel(ctx, k)
			<-slots
		})
	}
	wg.Wait()
	fmt.Println()
	return runs
}

func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the cache: %w", err)
	}
	return func() { f.Close() }, nil
}

func warn(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "vm: warning: "+format+"\n", args...)
}
