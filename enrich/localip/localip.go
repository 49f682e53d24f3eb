// Package localip finds the local address of UDP sockets that are bound to
// none (0.0.0.0 or ::): the one the kernel would send from to that peer. It
// stands between aggregation and the sinks.
package localip

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// answerTTL is how long an answer is taken without asking again: routes
	// and addresses change.
	answerTTL = 30 * time.Second
	// idle is when a namespace that nobody asks for is let go. An open handle
	// keeps a dead container's namespace alive, so it is short.
	idle = 15 * time.Second
	// maxSpaces bounds the open namespaces (a file each), maxAnswers the
	// answers kept of each.
	maxSpaces  = 128
	maxAnswers = 4096
)

// Resolver looks local addresses up. It is safe for concurrent use.
type Resolver struct {
	proc string
	own  uint32
	now  func() time.Time

	mu     sync.Mutex
	closed bool
	spaces map[uint32]*space
	sweep  *time.Timer
}

// New returns a resolver that finds network namespaces by processes below
// procRoot, normally /proc, or HOST_PROC in a container. The caller must
// Close it.
func New(procRoot string) *Resolver {
	r := &Resolver{proc: procRoot, now: time.Now, spaces: map[uint32]*space{}}
	// The process's /proc/self is its first thread, which need not be ours.
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) == nil {
		r.own = uint32(st.Ino)
	}
	return r
}

// Local returns the address from which the kernel sends to the peer in the
// network namespace with that inode number, which it enters through the
// process. It returns false when it cannot know: no route, the process is gone
// or in another namespace by now, no right to enter (CAP_SYS_ADMIN and
// CAP_SYS_PTRACE), or a peer whose route depends on the socket, which are
// multicast, broadcast and link-local addresses.
func (r *Resolver) Local(netnsInode, pid uint32, peer netip.Addr) (netip.Addr, bool) {
	peer = peer.Unmap().WithZone("")
	if !routed(peer) {
		return netip.Addr{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	s := r.space(netnsInode, pid, now)
	if s == nil {
		return netip.Addr{}, false
	}
	s.used = now
	return s.local(peer, now)
}

// Close lets every namespace go. Afterwards Local knows nothing.
func (r *Resolver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.sweep != nil {
		r.sweep.Stop()
	}
	for ino := range r.spaces {
		r.drop(ino)
	}
	return nil
}

// routed tells whether the routing table alone decides the local address.
func routed(peer netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return peer.IsValid() && !peer.IsUnspecified() && !peer.IsMulticast() && !peer.IsLinkLocalUnicast() &&
		peer != broadcast
}

// space returns the namespace, opened at first use; nil when it cannot be
// had. That is not remembered: the next row may name a process that lives.
func (r *Resolver) space(ino, pid uint32, now time.Time) *space {
	if s := r.spaces[ino]; s != nil || r.closed || ino == 0 {
		return s
	}
	s, err := r.open(ino, pid)
	if err != nil {
		return nil
	}
	if len(r.spaces) >= maxSpaces {
		r.drop(r.longestUnused())
	}
	r.spaces[ino] = s
	s.used = now
	if len(r.spaces) == 1 {
		r.sweep = time.AfterFunc(idle, r.sweepIdle)
	}
	return s
}

// sweepIdle runs while namespaces are open, also when no rows come any more.
func (r *Resolver) sweepIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for ino, s := range r.spaces {
		if now.Sub(s.used) >= idle {
			r.drop(ino)
		}
	}
	if len(r.spaces) > 0 && !r.closed {
		r.sweep.Reset(idle)
	}
}

func (r *Resolver) longestUnused() uint32 {
	var found uint32
	for ino, s := range r.spaces {
		if found == 0 || s.used.Before(r.spaces[found].used) {
			found = ino
		}
	}
	return found
}

func (r *Resolver) drop(ino uint32) {
	r.spaces[ino].handle.Close()
	delete(r.spaces, ino)
}
