package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses of the lab, from the range for benchmarks (RFC 2544). The
// server has 198.18.1.0/24 besides, so that a client of many short or idle
// connections has many addresses to connect to.
const (
	clientIP  = "198.18.0.1"
	serverIP  = "198.18.0.2"
	serverNet = "198.18.1.0/24"
	firstOf   = "198.18.1.1"
	hostsOf   = 200
)

// Client and server are pinned so that a run without and a run with the
// collector differ in nothing but the collector.
const (
	clientCPU = 0
	serverCPU = 1
)

// lab is where the load runs: two network namespaces joined by a veth pair,
// and a scratch directory. The namespaces have no name and no mount, so they
// end with the last process in them, however this program ends.
type lab struct {
	client, server *namespace
	dir            string
	// load is the built load generator.
	load string
}

// namespace is a network namespace and the CPU that its processes run on.
type namespace struct {
	file *os.File
	// inode is the number in the collector's tag netns.
	inode uint64
	cpu   int
}

func newLab(ctx context.Context) (*lab, error) {
	dir, err := os.MkdirTemp("", "weft-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a scratch directory: %w", err)
	}
	l := &lab{dir: dir, load: filepath.Join(dir, "load")}
	if err := l.set(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) set(ctx context.Context) (err error) {
	build := exec.CommandContext(ctx, "go", "build", "-o", l.load, "./test/load")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the load generator: %w\n%s", err, out)
	}
	// nginx's worker is not root.
	if err := os.Chmod(l.dir, 0o755); err != nil {
		return fmt.Errorf("opening the scratch directory: %w", err)
	}
	if l.client, err = newNamespace(clientCPU); err != nil {
		return err
	}
	if l.server, err = newNamespace(serverCPU); err != nil {
		return err
	}
	return l.wire()
}

func (l *lab) wire() error {
	for _, step := range []struct {
		in   *namespace
		args string
	}{
		{l.client, "link set lo up"},
		{l.server, "link set lo up"},
		{l.client, "link add veth0 type veth peer name veth0 netns /proc/self/fd/3"},
		{l.client, "addr add " + clientIP + "/24 dev veth0"},
		{l.server, "addr add " + serverIP + "/24 dev veth0"},
		{l.client, "link set veth0 up"},
		{l.server, "link set veth0 up"},
		{l.server, "route add local " + serverNet + " dev lo"},
		{l.client, "route add " + serverNet + " via " + serverIP},
	} {
		cmd := exec.Command("ip", strings.Fields(step.args)...)
		cmd.ExtraFiles = []*os.File{l.server.file}
		var out []byte
		err := step.in.do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
		if err != nil {
			return fmt.Errorf("ip %s: %w\n%s", step.args, err, out)
		}
	}
	return nil
}

func (l *lab) close() {
	for _, n := range []*namespace{l.client, l.server} {
		if n != nil {
			n.file.Close()
		}
	}
	_ = os.RemoveAll(l.dir)
}

func newNamespace(cpu int) (*namespace, error) {
	n := &namespace{cpu: cpu % runtime.NumCPU()}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	info, err := n.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at a network namespace: %w", err)
	}
	n.inode = info.Sys().(*syscall.Stat_t).Ino
	return n, nil
}

// do runs fn on a thread in the namespace and on its CPU; a command that fn
// starts inherits both. `ip netns exec` would remount /sys besides.
func (n *namespace) do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		var set unix.CPUSet
		set.Set(n.cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pinning to CPU %d: %w", n.cpu, err)
		}
		return fn()
	})
}

// onThread runs fn on a thread of its own, which ends with the goroutine
// because it stays locked.
func onThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}

// read reads a file below /proc/net as the namespace has it.
func (n *namespace) read(name string) (text string, err error) {
	err = n.do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/" + name)
		text = string(b)
		return err
	})
	return text, err
}

// awaitBound waits until that many sockets are bound to the ports: connecting
// to find out would be a connection that the load does not count.
func (n *namespace) awaitBound(ctx context.Context, b bound) error {
	end := time.Now().Add(10 * time.Second)
	for {
		text, err := n.read(b.proto)
		if err != nil {
			return err
		}
		if b.count(text) >= b.sockets {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no %d %s sockets on ports %v in 10 s", b.sockets, b.proto, b.ports)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// bound says which sockets make a server ready: proto is a file of /proc/net.
type bound struct {
	proto   string
	ports   []uint16
	sockets int
}

func (b bound) count(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		// 0A is a listening, 07 an unconnected UDP socket.
		if err != nil || f[3] != "0A" && f[3] != "07" {
			continue
		}
		for _, p := range b.ports {
			if uint16(port) == p {
				n++
			}
		}
	}
	return n
}

// awaitClosed waits until no TCP socket of the lab is left: after a burst of
// closes some FINs are lost and sent again much later, and only then is the
// connection closed for anybody who counts.
func (l *lab) awaitClosed(ctx context.Context) error {
	end := time.Now().Add(time.Minute)
	for _, n := range []*namespace{l.client, l.server} {
		for {
			text, err := n.read("sockstat")
			if err != nil {
				return fmt.Errorf("counting open sockets: %w", err)
			}
			open := openTCP(text)
			if open == 0 {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%d TCP sockets still open a minute after the load", open)
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// openTCP reads a namespace's own number from /proc/net/sockstat, which leaves
// out TIME_WAIT.
func openTCP(sockstat string) int {
	_, after, _ := strings.Cut(sockstat, "TCP: inuse ")
	n, _, _ := strings.Cut(after, " ")
	open, _ := strconv.Atoi(n)
	return open
}

// pause sleeps unless the run is called off.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
