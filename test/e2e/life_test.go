package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// SIGTERM in the middle of an interval: what was counted comes out, and
// nothing stays in the kernel.
func TestSIGTERM(t *testing.T) {
	needs(t, "bpftool")
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	c := start(t)
	conn := p.Client.Dial(t, "tcp", serverAddr)
	converse(t, conn, 300) // stays open
	programs := c.Programs(t)
	if len(programs) == 0 {
		t.Fatal("the collector holds no BPF program")
	}
	e := of(p, c.Stop(t))
	e.sums(t, "bytes_written", 300, 300)
	e.sums(t, "tcp_established", 1, 1)
	e.sums(t, "tcp_closed", 0, 0)
	gone(t, programs)
}

// After kill -9 nothing is left, and the next one starts at once in the same
// place.
func TestKilled(t *testing.T) {
	needs(t, "bpftool")
	dir := t.TempDir()
	c := start(t, "--state-dir", dir)
	programs := c.Programs(t)
	c.Signal(t, syscall.SIGKILL)
	c.Exit(t)
	gone(t, programs)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	c = start(t, "--state-dir", dir)
	conn := p.Client.Dial(t, "tcp", serverAddr)
	converse(t, conn, 10)
	conn.Close()
	settle(t, p)
	of(p, c.Stop(t)).sums(t, "tcp_closed", 1, 1)
}

// gone waits until the kernel knows none of the programs: it frees them a
// grace period after the last reference.
func gone(t *testing.T, programs []int) {
	t.Helper()
	left := programs
	for deadline := time.Now().Add(3 * time.Second); len(left) > 0; time.Sleep(50 * time.Millisecond) {
		programs, left = left, nil
		for _, id := range programs {
			if exec.Command("bpftool", "prog", "show", "id", strconv.Itoa(id)).Run() == nil {
				left = append(left, id)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("BPF programs left behind: %v", left)
		}
	}
}

func TestSecondInstance(t *testing.T) {
	needs(t)
	first := start(t)
	second := collector.New(t, binary, "--state-dir", first.StateDir)
	equal(t, "exit status of the second", second.Run(t), 1)
	if pid := strconv.Itoa(first.Pid()); !strings.Contains(second.Stderr(), pid) {
		t.Errorf("does not name pid %s, which holds the lock:\n%s", pid, second.Stderr())
	}
	first.Stop(t)
}

// SIGHUP takes a new configuration over; traffic goes on meanwhile and every
// byte of it is counted once.
func TestSIGHUP(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	conf := filepath.Join(t.TempDir(), "ebpf.conf")
	settings := func(interval, colour string) {
		write(t, conf, fmt.Sprintf("[[inputs.ebpf]]\ninterval = %q\n[inputs.ebpf.tags]\ncolour = %q\n", interval, colour))
	}
	settings("60s", "red")
	c := start(t, "--config", conf)
	conn := p.Client.Dial(t, "tcp", serverAddr)
	converse(t, conn, 1000)
	settings("1s", "blue")
	c.Signal(t, syscall.SIGHUP)
	sent := int64(1000)
	blue := func(rs collector.Rows) bool { return of(p, rs, "colour", "blue").client.Sum("bytes_written") > 0 }
	for deadline := time.Now().Add(5 * time.Second); !blue(c.Rows()) && time.Now().Before(deadline); sent += 10 {
		converse(t, conn, 10)
		time.Sleep(10 * time.Millisecond)
	}
	if !blue(c.Rows()) {
		t.Error("no row with the new tag at the new interval")
	}
	conn.Close()
	settle(t, p)
	e := of(p, c.Stop(t))
	e.sums(t, "bytes_written", sent, sent)
	e.sums(t, "bytes_read", sent, sent)
	e.sums(t, "tcp_established", 1, 1)
	e.sums(t, "tcp_closed", 1, 1)
}

// A new configuration that is wrong changes nothing and is reported.
func TestSIGHUPWithMistake(t *testing.T) {
	needs(t)
	conf := filepath.Join(t.TempDir(), "ebpf.conf")
	write(t, conf, "[[inputs.ebpf]]\ninterval = \"60s\"\n")
	c := start(t, "--config", conf)
	write(t, conf, "[[inputs.ebpf]]\ninterval = \"soon\"\n")
	c.Signal(t, syscall.SIGHUP)
	for deadline := time.Now().Add(3 * time.Second); !strings.Contains(c.Stderr(), "ebpf.conf:2"); {
		if time.Now().After(deadline) {
			t.Fatalf("the mistake is not reported:\n%s", c.Stderr())
		}
		time.Sleep(10 * time.Millisecond)
	}
	status, _ := c.Get(t, "/healthz")
	equal(t, "/healthz", status, 200)
	c.Stop(t)
}

// Ten mistakes: ten lines, each with its place, and nothing starts.
func TestTenMistakes(t *testing.T) {
	needs(t)
	conf := filepath.Join(t.TempDir(), "bad.conf")
	text := `[[inputs.ebpf]]
intervall = "60s"
interval = "sixty"
cpu_limit = "many"
mem_limit = "4 Gigs"
net_limit = 7
enabled_plugins = ["ebpf-net", "ebpf-nets"]
l7net_enabled = "httpflow"
ephemeral_port = 70000
ipv6_disabled = "perhaps"
log_level = "loud"
`
	write(t, conf, text)
	c := collector.New(t, binary, "--config", conf)
	equal(t, "exit status", c.Run(t), 1)
	for line := 2; line <= strings.Count(text, "\n"); line++ {
		if n := strings.Count(c.Stderr(), fmt.Sprintf("bad.conf:%d: ", line)); n != 1 {
			t.Errorf("%d messages about line %d, want 1", n, line)
		}
	}
	equal(t, "lines said", strings.Count(c.Stderr(), "\n"), 10)
	if left, _ := os.ReadDir(c.StateDir); len(left) > 0 {
		t.Errorf("it began to work: %v", left)
	}
	if t.Failed() {
		t.Logf("it said:\n%s", c.Stderr())
	}
}
