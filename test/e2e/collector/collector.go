// Package collector runs the real binary for a test and reads what it prints.
package collector

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// Collector is a running `weft run`.
type Collector struct {
	// URL is the base of its HTTP server; StateDir holds its lock and spools.
	URL, StateDir string

	cmd    *exec.Cmd
	stderr safeBuffer
	read   sync.WaitGroup

	ended   chan struct{} // closed after exitErr is set
	exitErr error

	mu   sync.Mutex
	rows Rows
}

// safeBuffer is a bytes.Buffer that may be read while a process writes it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written so far.
func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Start runs the binary with the arguments and, unless they say otherwise, a
// sink on stdout, a state directory and an address of its own. The default
// interval is longer than any test. It returns once the collector says that it
// collects.
func Start(t testing.TB, binary string, args ...string) *Collector {
	t.Helper()
	c := New(t, binary, args...)
	c.start(t)
	c.awaitReady(t)
	return c
}

// New is Start without starting.
func New(t testing.TB, binary string, args ...string) *Collector {
	t.Helper()
	c := &Collector{StateDir: value(args, "--state-dir"), ended: make(chan struct{})}
	if c.StateDir == "" {
		c.StateDir = t.TempDir()
	}
	address := freeAddress(t)
	c.URL = "http://" + address
	all := []string{"run"}
	for _, d := range [][2]string{
		{"--sink", "stdout"}, {"--state-dir", c.StateDir}, {"--listen", address},
	} {
		if value(args, d[0]) == "" {
			all = append(all, d[0], d[1])
		}
	}
	c.cmd = exec.Command(binary, append(all, args...)...)
	c.cmd.Stderr = &c.stderr
	// What the test's own environment says must not reach the collector.
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stdout = in
	c.read.Add(1)
	go c.readRows(t, out)
	t.Cleanup(func() { in.Close() })
	return c
}

func value(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// freeAddress returns a loopback address on which nothing listens now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *Collector) readRows(t testing.TB, out io.ReadCloser) {
	defer c.read.Done()
	defer out.Close()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // a line that a SIGKILL cut off is no line
		}
		var r Row
		if err := json.Unmarshal(line, &r); err != nil {
			t.Errorf("stdout is not one JSON object a line: %v: %s", err, line)
			continue
		}
		r.Seen = time.Now()
		c.mu.Lock()
		c.rows = append(c.rows, r)
		c.mu.Unlock()
	}
}

func (c *Collector) awaitReady(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if res, err := http.Get(c.URL + "/healthz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-c.ended:
			t.Fatalf("the collector ended at once: %v", c.exitErr)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the collector did not become ready")
}
