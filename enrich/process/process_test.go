package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const longName = "weft-a-process-with-a-long-name"

func cut(name string) string { return name[:min(len(name), commLen)] }

// child runs the program until the test ends and waits for its comm to be
// that of the program, not ours.
func child(t *testing.T, path string, args ...string) (*exec.Cmd, uint32) {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid := uint32(cmd.Process.Pid)
	want := cut(filepath.Base(path))
	for range 200 {
		if st, err := readStat("/proc", pid); err == nil && st.comm == want {
			return cmd, pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s never got its comm", path)
	return nil, 0
}

// program is a copy of sleep with another name.
func program(t *testing.T, name string) string {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep to copy:", err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNameOfChildren(t *testing.T) {
	long := program(t, longName)
	renamed := exec.Command(long, "60")
	renamed.Args[0] = "another-title"
	if err := renamed.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = renamed.Process.Kill(); _ = renamed.Wait() }()
	script := filepath.Join(t.TempDir(), "weft-script-with-a-long-name.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh -e\nsleep 60 & wait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := New("/proc")
	_, pid := child(t, long, "60")
	waitArgs(t, pid)
	if got := n.Name(pid, cut(longName)); got != longName {
		t.Errorf("long name: %q", got)
	}
	if got := n.Name(pid, "sleep"); got != "sleep" {
		t.Errorf("a short comm is taken as it is: %q", got)
	}
	if got := n.Name(pid, "exactly-15-long"); got != "exactly-15-long" {
		t.Errorf("another process's comm: %q", got)
	}
	exact := program(t, "exactly-15-long")
	if _, pid := child(t, exact, "60"); n.Name(pid, "exactly-15-long") != "exactly-15-long" {
		t.Error("a name of exactly 15 bytes is not cut")
	}
	waitComm(t, uint32(renamed.Process.Pid), cut(longName))
	if got := n.Name(uint32(renamed.Process.Pid), cut(longName)); got != longName {
		t.Errorf("other argv[0]: %q", got)
	}
	_, pid = child(t, script)
	waitArgs(t, pid)
	if got := n.Name(pid, cut(filepath.Base(script))); got != filepath.Base(script) {
		t.Errorf("script: %q", got)
	}
	if got := n.Name(0, longName); got != longName {
		t.Errorf("pid 0: %q", got)
	}
}

func waitComm(t *testing.T, pid uint32, comm string) {
	t.Helper()
	for range 200 {
		if st, err := readStat("/proc", pid); err == nil && st.comm == comm {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("pid %d never became %s", pid, comm)
}

// waitArgs waits for the command line, which comes after the comm.
func waitArgs(t *testing.T, pid uint32) {
	t.Helper()
	for range 200 {
		if len(readArgs(pidPath("/proc", pid, "cmdline"))) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("pid %d never had a command line", pid)
}

func TestGoneProcess(t *testing.T) {
	cmd, pid := child(t, program(t, longName), "60")
	waitArgs(t, pid)
	n := New("/proc")
	now := time.Now()
	n.now = func() time.Time { return now }
	if got := n.Name(pid, cut(longName)); got != longName {
		t.Fatal(got)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	now = now.Add(5 * time.Second)
	if got := n.Name(pid, cut(longName)); got != longName {
		t.Errorf("known and gone: %q, want the name it was known by", got)
	}
	if got := New("/proc").Name(pid, cut(longName)); got != cut(longName) {
		t.Errorf("never seen: %q, want its comm", got)
	}
}

// fakeProcess writes /proc/PID below a root.
func fakeProcess(t *testing.T, root string, pid int, comm string, start int, cmdline string) {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (%s) S%s %d 0\n", pid, comm, strings.Repeat(" 1", startField-1), start)
	for name, text := range map[string]string{"stat": stat, "cmdline": cmdline} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPidReuse(t *testing.T) {
	root, comm := t.TempDir(), cut("some-service-for-orders")
	fakeProcess(t, root, 7, comm, 100, "/bin/some-service-for-orders\x00-x\x00")
	n := New(root)
	now := time.Unix(1000, 0)
	n.now = func() time.Time { return now }
	check := func(want string) {
		t.Helper()
		if got := n.Name(7, comm); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check("some-service-for-orders")
	// Another program with the same first 15 bytes gets the pid.
	fakeProcess(t, root, 7, comm, 200, "some-service-for-users\x00")
	check("some-service-for-orders") // within the recheck period
	now = now.Add(recheck)
	check("some-service-for-users")
	// The command line comes late.
	fakeProcess(t, root, 7, comm, 250, "")
	now = now.Add(recheck)
	check(comm)
	fakeProcess(t, root, 7, comm, 250, "some-service-for-users\x00")
	now = now.Add(recheck)
	check("some-service-for-users")
	// Another name altogether: rows of the old process keep its name.
	fakeProcess(t, root, 7, "redis-server", 300, "redis-server\x00")
	now = now.Add(recheck)
	check("some-service-for-users")
	if got := n.Name(7, "redis-server"); got != "redis-server" {
		t.Errorf("got %q", got)
	}
}

func TestExtends(t *testing.T) {
	comm := "fifteen-letters"
	for path, want := range map[string]string{
		"/usr/bin/fifteen-letters-more":           "fifteen-letters-more",
		"fifteen-letters-more":                    "fifteen-letters-more",
		"fifteen-letters-more: worker process":    "fifteen-letters-more",
		"fifteen-letters-more [idle]":             "fifteen-letters-more",
		"/opt/fifteen-letters-more on /var/x.pid": "fifteen-letters-more",
		"fifteen-letters":                         "fifteen-letters",
		"/usr/bin/fifteen":                        "",
		"/fifteen-letters/other":                  "",
		"":                                        "",
		"fifteen":                                 "",
	} {
		if got, ok := extends(path, comm); got != want || ok != (want != "") {
			t.Errorf("%q: got %q %v, want %q", path, got, ok, want)
		}
	}
}

func TestHostileProc(t *testing.T) {
	root, comm := t.TempDir(), "evil) R 1 (2 3 "
	fakeProcess(t, root, 9, comm, 5, "evil) R 1 (2 3 4 5\x00")
	if st, err := readStat(root, 9); err != nil || st.comm != comm || st.start != 5 {
		t.Errorf("%+v %v", st, err)
	}
	for name, text := range map[string]string{"10": "", "11": "11 (x", "12": "12 (x) S 1", "13": ")(", "14": "14 (x) S" +
		strings.Repeat(" x", 30)} {
		dir := filepath.Join(root, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := New(root)
	for pid := uint32(10); pid < 16; pid++ {
		if got := n.Name(pid, "abcdefghijklmno"); got != "abcdefghijklmno" {
			t.Errorf("%d: %q", pid, got)
		}
	}
	if got := n.Name(1, "abc\xff"); got != "abc\uFFFD" {
		t.Errorf("no UTF-8: %q", got)
	}
}

func TestCacheIsBound(t *testing.T) {
	n := New(t.TempDir())
	now := time.Unix(1000, 0)
	n.now = func() time.Time { return now }
	for pid := range uint32(3 * maxEntries) {
		n.Name(pid, "abcdefghijklmno")
	}
	if got := len(n.young) + len(n.old); got > 2*maxEntries {
		t.Errorf("%d entries", got)
	}
	now = now.Add(generation)
	n.Name(1, "abcdefghijklmno")
	now = now.Add(generation)
	n.Name(1, "abcdefghijklmno")
	if got := len(n.young) + len(n.old); got > 2 {
		t.Errorf("%d entries after two generations, want those in use", got)
	}
}

// BenchmarkName is 10,000 rows of 100 processes with cut names.
func BenchmarkName(b *testing.B) {
	n := New("/proc")
	for b.Loop() {
		for row := range uint32(10_000) {
			n.Name(1_000_000+row%100, "abcdefghijklmno")
		}
	}
}
