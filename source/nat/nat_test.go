package nat

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weft/probe"
	"weft/record"
	"weft/test/e2e/netlab"
)

func TestMain(m *testing.M) {
	// The main thread is /proc/self: no test may take it to another namespace.
	runtime.LockOSThread()
	os.Exit(m.Run())
}

func reuseAddr(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, program := range []string{"ip", "nft", "sleep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: `make test-deps` installs it, and -bin packs it into a guest", program)
		}
	}
}

// eachDoor runs the test with every door alone.
func eachDoor(t *testing.T, test func(t *testing.T, d []door)) {
	t.Helper()
	needRoot(t)
	for _, d := range doors() {
		name, _, _ := strings.Cut(d.name, ",")
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { test(t, []door{d}) })
	}
}

// check compares what Lookup says of the calls with who answered them.
func check(t *testing.T, s *Source, calls []call) {
	t.Helper()
	at, wrong := probe.Monotonic(), 0
	for _, c := range calls {
		want := c.answer
		if want == netip.AddrPortFrom(c.flow.Dst, uint16(c.flow.DstPort)) {
			want = netip.AddrPort{} // no NAT
		}
		if got := s.Lookup(&c.flow, c.when, at); got != want {
			if wrong++; wrong < 5 {
				t.Errorf("%v:%v → %v:%v is said to have gone to %v, and %v answered",
					c.flow.Src, c.flow.SrcPort, c.flow.Dst, c.flow.DstPort, got, c.answer)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d wrong", wrong, len(calls))
	}
}

// Connections from the machine and from a pod to a service with three backends,
// and such as reach a backend directly.
func TestService(t *testing.T) {
	eachDoor(t, func(t *testing.T, d []door) {
		l := newLab(t)
		l.serveBackends(t)
		// One before the source begins.
		calls := []call{l.ask(t, l.Pod, l.PodPID, "tcp", service4+":80", 0)}
		s := l.begin(t, d, 1<<16)
		for _, from := range []struct {
			n   *netlab.Namespace
			pid uint32
		}{{l.Machine, l.MachinePID}, {l.Pod, l.PodPID}} {
			for range 30 {
				for _, network := range []string{"tcp", "udp"} {
					calls = append(calls,
						l.ask(t, from.n, from.pid, network, service4+":80", 0),
						l.ask(t, from.n, from.pid, network, "["+service6+"]:80", 0))
				}
			}
			calls = append(calls, l.ask(t, from.n, from.pid, "tcp", "198.18.2.12:8080", 0))
		}
		check(t, s, calls)
	})
}

// A pod that redirects its own connections to a proxy, and one behind it whose
// own NAT is followed by the machine's.
func TestNATInThePod(t *testing.T) {
	eachDoor(t, func(t *testing.T, d []door) {
		l := newLab(t)
		l.serveBackends(t)
		l.serve(t, l.Pod, "127.0.0.1:15001")
		s := l.begin(t, d, 1<<16)
		l.Pod.Output(t, "nft", fmt.Sprintf(`table ip own { chain out { type nat hook output priority -100;
			tcp dport 9000 redirect to :15001
			tcp dport 9001 dnat to %s:80
		}
		}`, service4))
		var calls []call
		for range 10 {
			calls = append(calls,
				l.ask(t, l.Pod, l.PodPID, "tcp", "198.18.2.11:9000", 0),
				l.ask(t, l.Pod, l.PodPID, "tcp", "198.18.2.11:9001", 0))
		}
		check(t, s, calls)
	})
}

// The same client port again and again: each connection has its own target,
// though all are looked up at the end.
func TestReusedPort(t *testing.T) {
	eachDoor(t, func(t *testing.T, d []door) {
		l := newLab(t)
		l.serveBackends(t)
		s := l.begin(t, d, 1<<16)
		var calls []call
		for range 40 {
			calls = append(calls, l.ask(t, l.Pod, l.PodPID, "tcp", service4+":80", 40000))
		}
		check(t, s, calls)
		// Each but the last had to go for the next. A SYN that an old socket of the
		// backend refused made one more when it was sent again.
		if s.table.in < 40 || s.table.out != s.table.in-1 {
			t.Errorf("%d entries made and %d deleted, want 40 and 39", s.table.in, s.table.out)
		}
	})
}

// Masquerading is no DNAT.
func TestSourceNATAlone(t *testing.T) {
	eachDoor(t, func(t *testing.T, d []door) {
		l := newLab(t)
		l.serveBackends(t)
		l.Machine.Output(t, "nft", `table ip masq {
			chain post { type nat hook postrouting priority 100; oifname "be" masquerade; }
		}`)
		s := l.begin(t, d, 1<<16)
		check(t, s, []call{
			l.ask(t, l.Pod, l.PodPID, "tcp", "198.18.2.12:8080", 0),
			l.ask(t, l.Pod, l.PodPID, "tcp", service4+":80", 0),
		})
	})
}

// A table that is full counts what it does not take, and stays as it is.
func TestFullTableIsCounted(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	l.serveBackends(t)
	s := l.begin(t, doors(), 5)
	var last call
	for range 20 {
		last = l.ask(t, l.Pod, l.PodPID, "tcp", service4+":80", 0)
	}
	if got := s.Lookup(&last.flow, last.when, probe.Monotonic()); got.IsValid() {
		t.Errorf("found %v in a table that was full", got)
	}
	if s.table.size() != 5 || s.table.full != 15 {
		t.Errorf("%d entries and %d counted, want 5 and 15", s.table.size(), s.table.full)
	}
}

// The other end of a connection with NAT has none.
func TestServerSide(t *testing.T) {
	needRoot(t)
	l := newLab(t)
	l.serveBackends(t)
	s := l.begin(t, doors(), 1<<16)
	c := l.ask(t, l.Pod, l.PodPID, "tcp", service4+":80", 0)
	c.flow.Src, c.flow.Dst, c.flow.SrcPort, c.flow.DstPort = c.answer.Addr(), c.flow.Src, 8080, c.flow.SrcPort
	c.flow.Direction = record.Incoming
	if got := s.Lookup(&c.flow, c.when, probe.Monotonic()); got.IsValid() {
		t.Errorf("the server's end has the target %v", got)
	}
}
