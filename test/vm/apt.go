package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianKeyring holds the keys by which apt checks what it downloads. Without it nothing is fetched.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt asks one Debian suite, with its own sources, lists and cache: it needs no root, changes nothing on the machine
// and installs nothing.
type apt struct {
	suite string
	dir   string
}

// newApt prepares the suite's folder and fetches its package list.
func newApt(ctx context.Context, cache, suite string) (*apt, error) {
	a := &apt{suite: suite, dir: filepath.Join(cache, "apt", suite)}
	if _, err := os.Stat(debianKeyring); err != nil {
		return nil, fmt.Errorf("no Debian keys to check downloads with (run test/vm/deps.sh): %w", err)
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("preparing apt for %s: %w", suite, err)
		}
	}
	source := fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", debianKeyring, mirror(suite), suite)
	if err := os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(source), 0o644); err != nil {
		return nil, fmt.Errorf("preparing apt for %s: %w", suite, err)
	}
	// By default apt calls a failed download a warning and goes on with what it had.
	if _, err := a.run(ctx, "apt-get", "-o", "APT::Update::Error-Mode=any", "update"); err != nil {
		return nil, err
	}
	return a, nil
}

// mirror returns where the suite lives. The two variables are for machines that have a mirror of their own.
func mirror(suite string) string {
	name, fallback := "DEBIAN_MIRROR", "http://deb.debian.org/debian"
	if strings.HasSuffix(suite, "-security") {
		name, fallback = "DEBIAN_SECURITY_MIRROR", "http://deb.debian.org/debian-security"
	}
	if m := os.Getenv(name); m != "" {
		return m
	}
	return fallback
}

// kernelPackages lists the names of all packages that make up kernels of the given flavour.
func (a *apt) kernelPackages(ctx context.Context, flavour string) ([]string, error) {
	out, err := a.run(ctx, "apt-cache", "search", "--names-only", `^linux-(image|binary|modules)-[0-9].*-`+flavour+`$`)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		if name, _, ok := strings.Cut(line, " "); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// unpack downloads the packages, apt checking their hashes, and unpacks them into a folder that appears only when
// it is complete.
func (a *apt) unpack(ctx context.Context, packages []string, into string) error {
	if err := os.MkdirAll(filepath.Dir(into), 0o755); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(into), ".unpack-")
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	debs, root := filepath.Join(tmp, "debs"), filepath.Join(tmp, "root")
	if err := os.Mkdir(debs, 0o755); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if _, err := a.runIn(ctx, debs, "apt-get", append([]string{"download"}, packages...)...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("apt-get download %s left no package (%w)", strings.Join(packages, " "), err)
	}
	for _, deb := range files {
		if out, err := exec.CommandContext(ctx, "dpkg", "-x", deb, root).CombinedOutput(); err != nil {
			return fmt.Errorf("dpkg -x %s: %w\n%s", deb, err, out)
		}
	}
	if err := os.Rename(root, into); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

func (a *apt) run(ctx context.Context, tool string, args ...string) (string, error) {
	return a.runIn(ctx, a.dir, tool, args...)
}

func (a *apt) runIn(ctx context.Context, dir, tool string, args ...string) (string, error) {
	options := []string{"-qq"}
	for _, o := range []string{
		"Dir::Etc::SourceList=" + filepath.Join(a.dir, "sources.list"),
		"Dir::Etc::SourceParts=" + filepath.Join(a.dir, "parts"),
		"Dir::State::Lists=" + filepath.Join(a.dir, "lists"), "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"Dir::State::status=/dev/null", "APT::Sandbox::User=root", "Acquire::Languages=none", "Acquire::Retries=3",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "APT::Architecture=amd64",
	} {
		options = append(options, "-o", o)
	}
	cmd := exec.CommandContext(ctx, tool, append(options, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s for %s: %w\n%s", tool, strings.Join(args, " "), a.suite, err, stderr.String())
	}
	return stdout.String(), nil
}
