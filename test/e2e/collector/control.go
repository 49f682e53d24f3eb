package collector

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Pid is the collector's process id.
func (c *Collector) Pid() int { return c.cmd.Process.Pid }

// Stderr is what the collector logged so far.
func (c *Collector) Stderr() string { return c.stderr.String() }

// Rows returns the rows printed so far.
func (c *Collector) Rows() Rows {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(Rows(nil), c.rows...)
}

// Await returns the rows as soon as they satisfy, and fails the test when they
// do not in time.
func (c *Collector) Await(t testing.TB, limit time.Duration, satisfied func(Rows) bool) Rows {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		rows := c.Rows()
		if satisfied(rows) {
			return rows
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in %v; the last of %d rows:\n%v", limit, len(rows), rows[max(0, len(rows)-10):])
		}
	}
}

// Signal sends a signal.
func (c *Collector) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal the collector: %v", err)
	}
}

// Stop ends the collector with SIGTERM, which makes it flush, and returns all
// rows it ever printed. It must end in time and with status 0.
func (c *Collector) Stop(t testing.TB) Rows {
	t.Helper()
	c.Signal(t, syscall.SIGTERM)
	if err := c.Exit(t); err != nil {
		t.Errorf("exit after SIGTERM: %v\n%s", err, c.stderr.String())
	}
	return c.Rows()
}

// Exit waits until the collector has ended and all its output is read.
func (c *Collector) Exit(t testing.TB) error {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		t.Errorf("the collector did not end in 10 s")
		c.cmd.Process.Kill()
		<-c.ended
	}
	return c.exitErr
}

// Run starts a collector that is expected to end by itself and returns its
// exit status.
func (c *Collector) Run(t testing.TB) int {
	t.Helper()
	c.start(t)
	_ = c.Exit(t) // the status says it
	return c.cmd.ProcessState.ExitCode()
}

// start starts the process and sees to its end, at the latest the test's.
func (c *Collector) start(t testing.TB) {
	t.Helper()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.exitErr = c.cmd.Wait()
		c.cmd.Stdout.(io.Closer).Close()
		c.read.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("the collector's log:\n%s", c.stderr.String())
		}
	})
}

// Get reads a path of the collector's HTTP server.
func (c *Collector) Get(t testing.TB, path string) (int, string) {
	t.Helper()
	res, err := http.Get(c.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// Metrics returns the values of /metrics of which the text before the value
// contains one of the words; without words, all of them.
func (c *Collector) Metrics(t testing.TB, words ...string) map[string]float64 {
	t.Helper()
	_, text := c.Get(t, "/metrics")
	found := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || strings.HasPrefix(name, "#") {
			continue
		}
		if len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) }) {
			found[name] = number
		}
	}
	return found
}

// Losses are the counters, of those that are not 0, that say what did not
// become a row.
func (c *Collector) Losses(t testing.TB) map[string]float64 {
	t.Helper()
	found := c.Metrics(t, "dropped", "lost", "orphan", "resync", "gap", "late_packets", "unknown", "missed")
	for name, n := range found {
		if n == 0 {
			delete(found, name)
		}
	}
	return found
}

// Programs returns the ids of the BPF programs the collector holds, as the
// kernel tells them in /proc/PID/fdinfo.
func (c *Collector) Programs(t testing.TB) []int {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fdinfo", c.Pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, e := range entries {
		text, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			continue // closed meanwhile
		}
		for line := range strings.Lines(string(text)) {
			var id int
			if n, _ := fmt.Sscanf(line, "prog_id: %d", &id); n == 1 {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// EndsItself waits until the collector has ended on its own account and returns
// its exit status.
func (c *Collector) EndsItself(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(limit):
		t.Fatalf("the collector still runs after %v", limit)
	}
	return c.cmd.ProcessState.ExitCode()
}
