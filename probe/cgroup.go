package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// initCgroupNS is the inode of the first cgroup namespace on every kernel
// (PROC_CGROUP_INIT_INO).
const initCgroupNS = 0xEFFFFFFB

// Cgroup2Root opens the root of the cgroup v2 hierarchy of the machine: the
// place where a cgroup program sees every process. It takes a mount that
// exists, else makes one that nobody sees and that ends with the file; nothing
// is left behind after kill -9 either. Name() of the file is a path that
// link.AttachCgroup takes; keep the file open until the program is attached.
//
// A process in a cgroup namespace of its own (a container) sees its own cgroup
// as the root. Programs there would miss all others, so that is an error,
// unless the first namespace can be entered through HOST_PROC/1/ns/cgroup.
// The detached mount needs Linux 5.2 and CAP_SYS_ADMIN.
func Cgroup2Root() (*os.File, error) { return cgroup2Root(hostProc()) }

func cgroup2Root(proc string) (*os.File, error) {
	mounts, err := readMounts("/proc/self/mountinfo")
	for _, m := range mounts {
		if m.fsType != "cgroup2" {
			continue
		}
		f, openErr := openCgroupRoot(m.point)
		if openErr == nil {
			return f, nil
		}
		err = errors.Join(err, openErr)
	}
	f, mountErr := detachedCgroup2(proc)
	if mountErr == nil {
		return f, nil
	}
	return nil, fmt.Errorf("find the cgroup v2 root: %w", errors.Join(err, mountErr))
}

// openCgroupRoot opens a mount point if it shows the hierarchy's true root.
func openCgroupRoot(point string) (*os.File, error) {
	f, err := os.OpenFile(point, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := checkTrueRoot(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", point, err)
	}
	return f, nil
}

// checkTrueRoot fails below the root: only there cgroup.events exists, however
// a namespace or a bind mount names the directory.
func checkTrueRoot(dir *os.File) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), "cgroup.events", &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil:
		return errors.New("this is a container's cgroup, not the machine's root")
	case errors.Is(err, unix.ENOENT):
		return nil
	}
	return fmt.Errorf("look at cgroup.events: %w", err)
}

// detachedCgroup2 mounts the hierarchy without attaching it to any tree.
func detachedCgroup2(proc string) (*os.File, error) {
	if inHostCgroupNS() {
		return mountCgroup2()
	}
	var (
		f   *os.File
		err error
	)
	offMainThread(func() {
		if err = enterCgroupNS(filepath.Join(proc, "1/ns/cgroup")); err == nil {
			f, err = mountCgroup2()
		}
	})
	return f, err
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

func inHostCgroupNS() bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/cgroup", &st)
	return err == nil && st.Ino == initCgroupNS
}

func enterCgroupNS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter the machine's cgroup namespace: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter the machine's cgroup namespace: setns %s: %w", path, err)
	}
	return nil
}

// mountCgroup2 makes the detached mount and opens its root. The mount's own
// descriptor can go: the open directory keeps the mount alive.
func mountCgroup2() (*os.File, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen cgroup2: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig cgroup2: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("fsmount cgroup2: %w", err)
	}
	defer unix.Close(mnt)
	dir, err := unix.Openat(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the detached cgroup2 mount: %w", err)
	}
	f := os.NewFile(uintptr(dir), fmt.Sprintf("/proc/self/fd/%d", dir))
	if err := checkTrueRoot(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
