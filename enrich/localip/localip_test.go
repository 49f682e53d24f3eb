package localip

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func inode(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

// namespace starts a process in a network namespace of its own with
// 10.77.0.1/24 and fd77::1/64 on a dummy device, and returns its pid.
func namespace(t *testing.T) uint32 {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	script := `set -e
ip link set lo up
ip link add weft0 type dummy || ip link add weft0 type veth peer name weft1
ip addr add 10.77.0.1/24 dev weft0
ip addr add 10.78.0.1/24 dev weft0
ip -6 addr add fd77::1/64 dev weft0 nodad || true
ip link set weft0 up
ip link set weft1 up 2>/dev/null || true
ip route add 10.99.0.0/16 via 10.77.0.2 src 10.78.0.1
ip route add blackhole 10.100.0.0/16
echo ready
exec sleep 60
`
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip(8):", err)
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("cannot make a network namespace:", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if n, err := out.Read(make([]byte, 16)); n == 0 {
		t.Fatal("the namespace was not set up:", err)
	}
	return uint32(cmd.Process.Pid)
}

func nsPath(pid uint32) string {
	return filepath.Join("/proc", strconv.Itoa(int(pid)), "ns/net")
}

func TestOtherNamespace(t *testing.T) {
	pid := namespace(t)
	ino, own := inode(t, nsPath(pid)), inode(t, "/proc/self/ns/net")
	r := New("/proc")
	defer r.Close()
	for peer, want := range map[string]string{
		"10.77.0.9":        "10.77.0.1",
		"10.78.0.9":        "10.78.0.1",
		"10.99.1.2":        "10.78.0.1", // the route names its source
		"::ffff:10.77.0.9": "10.77.0.1",
		"127.0.0.53":       "127.0.0.1",
		"10.77.0.1":        "10.77.0.1", // itself
		"10.100.0.1":       "",          // blackhole
		"192.0.2.1":        "",          // no route there, though here there is
		"224.0.0.251":      "",
		"255.255.255.255":  "",
		"0.0.0.0":          "",
		"fe80::1":          "",
		"ff02::fb":         "",
		"2001:db8::1":      "",
		"10.77.0.255":      "", // the subnet's broadcast
	} {
		got, ok := r.Local(ino, pid, addr(peer))
		if ok != (want != "") || ok && got != addr(want) {
			t.Errorf("%s: got %v %v, want %q", peer, got, ok, want)
		}
	}
	if hasIPv6(pid) {
		if got, ok := r.Local(ino, pid, addr("fd77::9")); !ok || got != addr("fd77::1") {
			t.Errorf("IPv6: %v %v", got, ok)
		}
	}
	if now := inode(t, "/proc/self/ns/net"); now != own {
		t.Errorf("the test process moved to namespace %d", now)
	}
	if got, ok := r.Local(ino, pid, netip.Addr{}); ok {
		t.Errorf("no peer: %v", got)
	}
}

func hasIPv6(pid uint32) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(int(pid)), "net/if_inet6"))
	return err == nil && strings.Contains(string(b), "fd77")
}

// TestOwnNamespace compares with what a real socket gets.
func TestOwnNamespace(t *testing.T) {
	r := New("/proc")
	defer r.Close()
	own := inode(t, "/proc/self/ns/net")
	for _, peer := range []string{"127.0.0.1", "192.0.2.1", "2001:db8::1", "::1"} {
		var want netip.Addr
		if c, err := net.Dial("udp", net.JoinHostPort(peer, "9")); err == nil {
			want = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			c.Close()
		}
		// Pid 0 does not matter: nothing has to be entered.
		if got, ok := r.Local(own, 0, addr(peer)); got != want || ok != want.IsValid() {
			t.Errorf("%s: got %v %v, want %v", peer, got, ok, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	pid := namespace(t)
	ino := inode(t, nsPath(pid))
	r := New("/proc")
	peer := addr("10.77.0.9")
	check := func(name string, ino, pid uint32, want bool) {
		t.Helper()
		if _, ok := r.Local(ino, pid, peer); ok != want {
			t.Errorf("%s: got %v", name, ok)
		}
	}
	check("process in another namespace", ino, uint32(os.Getpid()), false)
	check("no such process", ino, 1<<30, false)
	check("no namespace", 0, pid, false)
	check("the right process", ino, pid, true)
	check("open already", ino, 1<<30, true)
	if err := r.Close(); err != nil || len(r.spaces) != 0 {
		t.Errorf("close: %v, %d open", err, len(r.spaces))
	}
	check("closed", ino, pid, false)
}

func TestExpiry(t *testing.T) {
	pid := namespace(t)
	ino := inode(t, nsPath(pid))
	r := New("/proc")
	defer r.Close()
	now := time.Now()
	r.now = func() time.Time { return now }
	local := func(want string) {
		t.Helper()
		if got, _ := r.Local(ino, pid, addr("10.99.0.1")); got != addr(want) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	local("10.78.0.1")
	out, err := exec.Command("nsenter", "--net="+nsPath(pid),
		"ip", "route", "replace", "10.99.0.0/16", "via", "10.77.0.2", "src", "10.77.0.1").CombinedOutput()
	if err != nil {
		t.Skipf("nsenter: %v %s", err, out)
	}
	local("10.78.0.1")
	now = now.Add(answerTTL)
	local("10.77.0.1")
	r.sweepIdle()
	if len(r.spaces) != 1 {
		t.Error("a namespace in use was dropped")
	}
	now = now.Add(idle)
	r.sweepIdle()
	if len(r.spaces) != 0 {
		t.Error("an unused namespace is still open")
	}
	local("10.77.0.1")
}

func TestBounds(t *testing.T) {
	pid := namespace(t)
	r := New("/proc")
	defer r.Close()
	ino := inode(t, nsPath(pid))
	a := addr("10.77.0.2")
	for range 2 * maxAnswers {
		r.Local(ino, pid, a)
		a = a.Next()
	}
	if n := len(r.spaces[ino].answers); n > maxAnswers {
		t.Errorf("%d answers kept", n)
	}
	now := time.Unix(0, 0)
	for i := range uint32(maxSpaces) {
		h, err := newHandle()
		if err != nil {
			t.Fatal(err)
		}
		r.spaces[1+i] = &space{handle: h, used: now.Add(time.Duration(i+1) * time.Second)}
	}
	r.drop(ino)
	if _, ok := r.Local(ino, pid, addr("10.77.0.9")); !ok || len(r.spaces) > maxSpaces {
		t.Errorf("%d namespaces open", len(r.spaces))
	}
	if r.spaces[1] != nil || r.spaces[2] == nil {
		t.Error("not the longest unused was dropped")
	}
}
