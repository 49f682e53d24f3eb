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

// testBinary is a compiled package.
type testBinary struct {
	pkg  string // import path
	dir  string // source folder
	file string
}

// buildTests compiles the packages that have tests, static, as `go test` would build them natively. The symbol table
// stays: uprobe tests look themselves up in it.
func buildTests(ctx context.Context, patterns []string, into string) (tests []testBinary, without []string, err error) {
	const format = `{{.ImportPath}}{{"\t"}}{{.Dir}}{{"\t"}}{{len .TestGoFiles}}{{len .XTestGoFiles}}`
	out, err := goTool(ctx, append([]string{"list", "-f", format}, patterns...)...)
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(out) {
		field := strings.Split(strings.TrimSpace(line), "\t")
		if len(field) != 3 {
			return nil, nil, fmt.Errorf("unexpected line from go list: %q", line)
		}
		if field[2] == "00" {
			without = append(without, field[0])
			continue
		}
		t := testBinary{pkg: field[0], dir: field[1]}
		t.file = filepath.Join(into, strings.ReplaceAll(t.pkg, "/", "_")+".test")
		if _, err := goTool(ctx, "test", "-c", "-ldflags=-w", "-o", t.file, t.pkg); err != nil {
			return nil, nil, err
		}
		tests = append(tests, t)
	}
	return tests, without, nil
}

// buildInit compiles process 1.
func buildInit(ctx context.Context, into string) (string, error) {
	file := filepath.Join(into, "init")
	_, err := goTool(ctx, "build", "-ldflags=-s -w", "-o", file, "weft/test/vm/init")
	return file, err
}

func goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
