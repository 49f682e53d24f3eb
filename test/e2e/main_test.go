// Package e2e runs the real binary against real clients and servers in network
// namespaces that the tests make, and compares what it says with what these
// say of themselves. It needs root.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weft/test/e2e/collector"
)

// binary is the path of the program under test, generator that of test/load;
// TestMain builds them.
var binary, generator string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weft-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary, generator = filepath.Join(dir, "weft"), filepath.Join(dir, "load")
	status := 1
	build := exec.Command("go", "build", "-trimpath", "-o", dir, "weft/cmd/weft", "weft/test/load")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build weft: %v\n%s", err, out)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// needs skips the test unless it runs as root and has the programs.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run `sudo make test`")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s: `make test-deps` as root installs it", p)
		}
	}
}

// start starts the collector for a test.
func start(t *testing.T, args ...string) *collector.Collector {
	t.Helper()
	return collector.Start(t, binary, args...)
}

// equal compares one figure.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// equalCounts compares counts by what they are of, and says where they differ.
func equalCounts(t *testing.T, what string, got, want map[string]int64) {
	t.Helper()
	for key, n := range want {
		if got[key] != n {
			t.Errorf("%s: %q: got %d, want %d", what, key, got[key], n)
		}
	}
	for key, n := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %q: got %d, want none", what, key, n)
		}
	}
}

// ends are the rows of the two ends of the traffic between a pair's hosts.
type ends struct{ client, server collector.Rows }

// sums compares the sum of a field on each end.
func (e ends) sums(t *testing.T, field string, client, server int64) {
	t.Helper()
	if got := e.client.Sum(field); got != client {
		t.Errorf("%s of the client: got %d, want %d; rows:\n%v", field, got, client, e.client)
	}
	if got := e.server.Sum(field); got != server {
		t.Errorf("%s of the server: got %d, want %d; rows:\n%v", field, got, server, e.server)
	}
}
