package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kernel is an unpacked Debian kernel.
type kernel struct {
	// want is what was asked for: "6.1", "newest" or a folder.
	want string
	// version is the release, e.g. "6.1.0-50-cloud-amd64".
	version string
	image   string
	modules string
}

// short is the table's heading, e.g. "6.1" or "7.3 newest".
func (k kernel) short() string {
	s := series(k.version)
	if len(s) < 2 {
		return k.want
	}
	name := fmt.Sprintf("%d.%d", s[0], s[1])
	if k.want == newest || k.want == host {
		name += " " + k.want
	}
	return name
}

// kernelStore finds kernels in the cache and fetches those that are missing or were looked up too long ago.
type kernelStore struct {
	cache   string
	flavour string
	refresh time.Duration
	warn    func(format string, args ...any)
}

// find resolves what the user asked for. Without a network an old kernel is better than none.
func (s kernelStore) find(ctx context.Context, want string) (kernel, error) {
	if want == host {
		return hostKernel()
	}
	if strings.ContainsRune(want, filepath.Separator) {
		return openKernel(want, want)
	}
	link := filepath.Join(s.cache, "kernels", s.flavour, want)
	st, statErr := os.Lstat(link)
	if statErr == nil && time.Since(st.ModTime()) < s.refresh {
		return openKernel(want, link)
	}
	dir, err := s.fetch(ctx, want)
	switch {
	case err == nil:
		if err := relink(link, dir); err != nil {
			return kernel{}, fmt.Errorf("kernel %s: %w", want, err)
		}
	case statErr == nil && ctx.Err() == nil:
		s.warn("kernel %s could not be looked up again, taking the cached one: %v", want, err)
	default:
		return kernel{}, fmt.Errorf("kernel %s: %w", want, err)
	}
	return openKernel(want, link)
}

// fetch makes sure that the newest kernel of the series is unpacked and returns its folder.
func (s kernelStore) fetch(ctx context.Context, want string) (string, error) {
	var (
		best     *apt
		version  string
		packages []string
		errs     []error
	)
	for _, suite := range suitesFor(want) {
		a, names, err := s.list(ctx, suite)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v, p := choosePackages(names, want, s.flavour)
		if v != "" && (best == nil || compareVersions(v, version) > 0) {
			best, version, packages = a, v, p
		}
		if best != nil && want != newest {
			break
		}
	}
	if best == nil {
		return "", errors.Join(append(errs, fmt.Errorf("no image in %s", strings.Join(suitesFor(want), ", ")))...)
	}
	for _, err := range errs {
		s.warn("kernel %s: a suite was left out: %v", want, err)
	}
	dir := filepath.Join(s.cache, "kernels", version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, best.unpack(ctx, packages, dir)
}

func (s kernelStore) list(ctx context.Context, suite string) (*apt, []string, error) {
	a, err := newApt(ctx, s.cache, suite)
	if err != nil {
		return nil, nil, err
	}
	names, err := a.kernelPackages(ctx, s.flavour)
	return a, names, err
}

// openKernel looks into an unpacked package: up to 6.x the image lies in boot, from 7.x on beside the modules.
func openKernel(want, dir string) (kernel, error) {
	k := kernel{want: want}
	for _, pattern := range []string{"usr/lib/modules/*/kernel", "lib/modules/*/kernel"} {
		if m, _ := filepath.Glob(filepath.Join(dir, pattern)); len(m) > 0 {
			k.modules = filepath.Dir(m[0])
		}
	}
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz"} {
		if m, _ := filepath.Glob(filepath.Join(dir, pattern)); len(m) > 0 {
			k.image = m[0]
		}
	}
	if k.modules == "" || k.image == "" {
		return kernel{}, fmt.Errorf("kernel %s: no image or no modules under %s", want, dir)
	}
	k.version = filepath.Base(k.modules)
	return k, nil
}

// relink points the name at the folder and thereby dates the look-up.
func relink(link, dir string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("remembering the kernel: %w", err)
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remembering the kernel: %w", err)
	}
	if err := os.Symlink(dir, link); err != nil {
		return fmt.Errorf("remembering the kernel: %w", err)
	}
	return nil
}
