package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const dumpTimeout = 5 * time.Second

// inNamespace runs f on a thread in the network namespace of the file. The
// thread ends with it.
func inNamespace(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- func() error {
			ns, err := os.Open(path)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", path, err)
			}
			return f()
		}()
	}()
	return <-done
}

// netfilterSocket opens a netlink socket in the current thread's namespace.
func netfilterSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, fmt.Errorf("netlink socket of netfilter: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind the netlink socket: %w", err)
	}
	return fd, nil
}

// dump reads all entries of the current thread's namespace. It also makes the
// kernel load conntrack's modules.
func dump(take func(*message)) error {
	fd, err := netfilterSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(dumpTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fmt.Errorf("limit the wait for the dump: %w", err)
	}
	var req [headerSize]byte
	binary.NativeEndian.PutUint32(req[:], headerSize)
	binary.NativeEndian.PutUint16(req[4:], subsysConntrack<<8|msgGet)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, req[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for the entries: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the entries: %w", err)
		}
		done, err := messages(buf[:n], take)
		if err != nil {
			return fmt.Errorf("read the entries: %w", err)
		}
		if done {
			return nil
		}
	}
}

// listen opens a socket in the current thread's namespace that hears of entries
// made and deleted. The filter takes all of it: nothing is ever read from it.
func listen(filter *ebpf.Program) (int, error) {
	// Before the module is loaded there is no such file.
	if b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_events"); err == nil && b[0] == '0' {
		return -1, errors.New("conntrack sends no events: sysctl net.netfilter.nf_conntrack_events is 0")
	}
	fd, err := netfilterSocket()
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, filter.FD()); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("attach the filter of conntrack's events: %w", err)
	}
	for _, group := range []int{groupNew, groupDestroy} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("join the group of conntrack's events: %w", err)
		}
	}
	return fd, nil
}
