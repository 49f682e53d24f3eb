package localip

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// requestTimeout bounds a question to the kernel, which answers at once.
const requestTimeout = time.Second

// space is an open network namespace with what is known of its routes. The
// kernel gives a freed namespace's inode number to the next one, so answers
// live no longer than the handle, which keeps the namespace from being freed.
type space struct {
	handle  *netlink.Handle
	answers map[netip.Addr]answer
	used    time.Time
}

type answer struct {
	addr  netip.Addr
	until time.Time
}

// local asks the kernel unless it has answered lately. No route is an answer
// too: the zero address.
func (s *space) local(peer netip.Addr, now time.Time) (netip.Addr, bool) {
	a, ok := s.answers[peer]
	if !ok || !now.Before(a.until) {
		if len(s.answers) >= maxAnswers {
			clear(s.answers)
		}
		a = answer{addr: s.ask(peer), until: now.Add(answerTTL)}
		s.answers[peer] = a
	}
	return a.addr, a.addr.IsValid()
}

// ask looks the route up as a sending socket would.
func (s *space) ask(peer netip.Addr) netip.Addr {
	routes, err := s.handle.RouteGet(peer.AsSlice())
	if err != nil || len(routes) != 1 {
		return netip.Addr{}
	}
	if t := routes[0].Type; t != unix.RTN_UNICAST && t != unix.RTN_LOCAL {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(routes[0].Src)
	if addr = addr.Unmap(); addr.Is4() != peer.Is4() || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}

// open makes a handle in the namespace.
func (r *Resolver) open(ino, pid uint32) (*space, error) {
	var (
		h   *netlink.Handle
		err error
	)
	if ino == r.own {
		h, err = newHandle()
	} else {
		path := filepath.Join(r.proc, strconv.FormatUint(uint64(pid), 10), "ns/net")
		offMainThread(func() { h, err = handleIn(path, ino) })
	}
	if err != nil {
		return nil, err
	}
	return &space{handle: h, answers: map[netip.Addr]answer{}}, nil
}

// handleIn moves the calling thread into the namespace for good.
func handleIn(path string, ino uint32) (*netlink.Handle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat network namespace: %w", err)
	}
	if uint32(st.Ino) != ino {
		return nil, fmt.Errorf("%s is namespace %d, not %d", path, st.Ino, ino)
	}
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter network namespace %d: %w", ino, err)
	}
	return newHandle()
}

func newHandle() (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := h.SetSocketTimeout(requestTimeout); err != nil {
		h.Close()
		return nil, fmt.Errorf("set netlink timeout: %w", err)
	}
	return h, nil
}

// offMainThread runs f on a thread that ends afterwards, so that f may change
// the thread's namespaces. The process's first thread cannot end, and what
// /proc/PID/ns says of the process is that thread's: it is never used.
func offMainThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// This goroutine holds the first thread, so the next gets another.
			offMainThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
