package nat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"weft/probe"
)

// maxSpaces bounds the namespaces that are watched, two files each.
const maxSpaces = 512

// space is a network namespace whose entries are watched.
type space struct {
	// events is the socket of the door ctnetlink; -1 where a door sees all
	// namespaces.
	events int
	// pid is a process in it, as of the last scan.
	pid uint32
}

var errOtherNamespace = errors.New("the process has gone to another network namespace")

// findHost finds the machine's network namespace: that of its first process. In
// a container whose rights do not reach that one, it is our own if it has a
// setting that no other namespace has.
func (s *Source) findHost(pid uint32) (err error) {
	s.hostPath = filepath.Join(s.proc, strconv.FormatUint(uint64(pid), 10), "ns/net")
	if s.host, err = inode(s.hostPath); err == nil {
		return nil
	}
	if _, serr := os.Stat("/proc/sys/net/core/netdev_max_backlog"); serr != nil {
		return fmt.Errorf("find the machine's network namespace: %w", err)
	}
	s.hostPath = "/proc/self/ns/net"
	s.host, err = inode(s.hostPath)
	return err
}

// path is where a namespace is entered.
func (s *Source) path(netns, pid uint32) string {
	if netns == s.host {
		return s.hostPath
	}
	return filepath.Join(s.proc, strconv.FormatUint(uint64(pid), 10), "ns/net")
}

// watch begins to watch a namespace: first its events, then what is there.
func (s *Source) watch(netns, pid uint32) (*space, error) {
	sp := &space{events: -1, pid: pid}
	err := inNamespace(s.path(netns, pid), func() error {
		if have, err := inode("/proc/thread-self/ns/net"); err != nil || have != netns {
			return errors.Join(err, errOtherNamespace)
		}
		if s.byMessage {
			if err := s.listen(sp, netns); err != nil {
				return err
			}
		}
		return s.dump(netns)
	})
	if err != nil {
		sp.close()
		return nil, fmt.Errorf("watch network namespace %d: %w", netns, err)
	}
	return sp, nil
}

func (s *Source) listen(sp *space, netns uint32) error {
	coll, err := s.kernel.load(netns, "message_filter")
	if err != nil {
		return err
	}
	defer coll.Close() // the socket keeps the program
	sp.events, err = listen(coll.Programs["message_filter"])
	return err
}

func (sp *space) close() {
	if sp != nil && sp.events >= 0 {
		unix.Close(sp.events)
	}
}

// dump takes in the entries of the current thread's namespace. What it does not
// have any more is gone.
func (s *Source) dump(netns uint32) error {
	began, number := probe.Monotonic(), s.table.nextDump()
	s.drainRing(began) // what the ring tells of as made now is no older than that
	err := dump(func(m *message) {
		m.key.netns, m.entry.made, m.entry.dump = netns, probe.Monotonic(), number
		if s.wanted(m) {
			s.table.found(m.key, m.entry)
		}
	})
	if err != nil {
		return err
	}
	s.dumps.Add(1)
	s.table.missing(netns, number, began)
	return nil
}

// space is the watched namespace of a row, which is watched from now on when it
// was not known; nil when it cannot be.
func (s *Source) space(netns, pid uint32) *space {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, tried := s.spaces[netns]
	if tried || s.closed {
		return sp
	}
	if len(s.spaces) >= maxSpaces {
		s.unwatched.Add(1)
		return nil
	}
	sp, err := s.watch(netns, pid)
	if err != nil {
		s.unreadable.Add(1)
		s.log.Debug("NAT in a namespace is not seen", "err", err)
	}
	s.spaces[netns] = sp // nil: not tried again before the next scan
	return sp
}

// Process is one that was in the namespace at the last look; 0 when none is
// known.
func (s *Source) Process(netns uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.spaces[netns]; sp != nil {
		return sp.pid
	}
	return 0
}

// scan looks for namespaces that have come or gone, and reads those anew of
// which events were lost. An open socket keeps a namespace alive, so it is
// closed soon after the last process.
func (s *Source) scan() {
	found, all := s.namespaces(), s.incomplete.Swap(false)
	s.forget(found)
	for netns, pid := range found {
		sp := s.space(netns, pid)
		if sp == nil {
			continue
		}
		s.mu.Lock()
		sp.pid = pid
		s.mu.Unlock()
		if !all {
			continue
		}
		if err := inNamespace(s.path(netns, pid), func() error { return s.dump(netns) }); err != nil {
			s.log.Warn("NAT: entries were lost and could not be read anew", "netns", netns, "err", err)
		}
	}
}

// forget lets namespaces go that no process is in any more.
func (s *Source) forget(found map[uint32]uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for netns, sp := range s.spaces {
		_, lives := found[netns]
		if lives && sp != nil {
			continue
		}
		sp.close()
		delete(s.spaces, netns) // or it is tried once more
		if !lives {
			s.table.missing(netns, s.table.nextDump(), probe.Monotonic())
		}
	}
}

// namespaces are the network namespaces that processes are in, each with one of
// them.
func (s *Source) namespaces() map[uint32]uint32 {
	found := map[uint32]uint32{}
	found[s.host] = s.hostPID
	dirs, err := filepath.Glob(filepath.Join(s.proc, "[0-9]*"))
	if err != nil {
		return found
	}
	for _, dir := range dirs {
		pid, err := strconv.ParseUint(filepath.Base(dir), 10, 32)
		if err != nil {
			continue
		}
		text, err := os.Readlink(filepath.Join(dir, "ns/net"))
		if err != nil {
			continue
		}
		ino, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(text, "net:["), "]"), 10, 32)
		if err == nil && found[uint32(ino)] == 0 {
			found[uint32(ino)] = uint32(pid)
		}
	}
	return found
}

func inode(path string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return uint32(st.Ino), nil
}
