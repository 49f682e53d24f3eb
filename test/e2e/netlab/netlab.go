// Package netlab makes network namespaces for tests and runs things in them.
//
// The namespaces have no name and no mount: they end with the test process,
// however it ends. Entering one is done by thread, and a command inherits the
// namespace of the thread that starts it; `ip netns exec` would also remount
// /sys and so hide cgroup2 and tracefs.
package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with its loopback interface up.
type Namespace struct {
	file *os.File
	// Tag is the value of the tag netns of its sockets.
	Tag string
}

// New makes a namespace that lasts until the test ends.
func New(t testing.TB) *Namespace {
	t.Helper()
	n, err := create()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { n.file.Close() })
	n.IP(t, "link", "set", "lo", "up")
	return n
}

// create does its work on a thread of its own, which ends with the goroutine
// because it stays locked.
func create() (*Namespace, error) {
	type result struct {
		n   *Namespace
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread()
		n, err := unshare()
		made <- result{n, err}
	}()
	r := <-made
	return r.n, r.err
}

func unshare() (*Namespace, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return &Namespace{file: file, Tag: fmt.Sprintf("NS(%d:%d)", st.Dev, st.Ino)}, nil
}

// Do runs fn in the namespace. Sockets made in fn belong to the namespace for
// good; fn must not start goroutines that make sockets.
func (n *Namespace) Do(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("enter network namespace: %v", err))
		}
		fn()
	}()
	<-done
}

// Start starts the command in the namespace and kills it when the test ends.
func (n *Namespace) Start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var err error
	n.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// Output runs the command in the namespace and returns what it printed; it
// ends the test when the command fails.
func (n *Namespace) Output(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out []byte
	var err error
	n.Do(func() { out, err = exec.Command(name, args...).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// IP runs ip(8) in the namespace.
func (n *Namespace) IP(t testing.TB, args ...string) {
	t.Helper()
	n.Output(t, "ip", args...)
}

// Sysctl sets a per-namespace setting below /proc/sys/net.
func (n *Namespace) Sysctl(t testing.TB, key, value string) {
	t.Helper()
	var err error
	n.Do(func() { err = os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644) })
	if err != nil {
		t.Fatalf("set net/%s: %v", key, err)
	}
}
