package probe

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func TestParseMounts(t *testing.T) {
	got := parseMounts(`22 27 0:21 / /proc rw,relatime - proc proc rw
34 31 0:33 / /sys/fs/cgroup/cpu\040acct rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /a\134b /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
short line
1 2 3 4 5 6 - x
`)
	want := []mount{
		{"/", "/proc", "proc", "rw"},
		{"/", "/sys/fs/cgroup/cpu acct", "cgroup", "rw,cpu,cpuacct"},
		{`/a\b`, "/sys/fs/cgroup/unified", "cgroup2", "rw"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// attachThere proves that the kernel takes the directory for a cgroup root.
func attachThere(t *testing.T, dir *os.File) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupSKB, AttachType: ebpf.AttachCGroupInetEgress, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	l, err := link.AttachCgroup(link.CgroupOptions{
		Path: dir.Name(), Attach: ebpf.AttachCGroupInetEgress, Program: prog,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestCgroup2Root(t *testing.T) {
	needBPF(t)
	f, err := Cgroup2Root()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	attachThere(t, f)
}

func TestDetachedCgroup2(t *testing.T) {
	needBPF(t)
	before := mountTable(t)
	f, err := detachedCgroup2("/proc")
	if err != nil {
		t.Fatal(err)
	}
	attachThere(t, f)
	if after := mountTable(t); after != before {
		t.Errorf("the mount shows:\n%s", after)
	}
	f.Close()
}

// TestCgroupNamespace: in a namespace below the root the own "root" is not
// taken, neither a mounted nor a detached one.
func TestCgroupNamespace(t *testing.T) {
	needBPF(t)
	root, err := Cgroup2Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if strings.HasPrefix(root.Name(), "/proc/self/fd/") {
		t.Skip("needs a cgroup2 mount to make a cgroup in")
	}
	child := root.Name() + "/weft-probe-test"
	if err := os.Mkdir(child, 0o755); err != nil {
		t.Skip("cannot make a cgroup:", err)
	}
	defer os.Remove(child)
	if _, err := openCgroupRoot(child); err == nil || !strings.Contains(err.Error(), "container's cgroup") {
		t.Errorf("a cgroup below the root: %v", err)
	}
	offMainThread(func() { err = inChildNamespace(t, child, root.Name()) })
	if err != nil {
		t.Skip("cannot make a cgroup namespace:", err)
	}
}

func inChildNamespace(t *testing.T, child, root string) error {
	tid := []byte("0")
	// Threads cannot leave a process's cgroup in a domain, so the process moves.
	if err := os.WriteFile(child+"/cgroup.procs", tid, 0); err != nil {
		return err
	}
	defer func() { _ = os.WriteFile(root+"/cgroup.procs", tid, 0) }()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	if f, err := mountCgroup2(); err == nil {
		f.Close()
		t.Error("the namespace's own root was taken for the machine's")
	}
	// /proc/1/ns is not always readable; the leader of this process stands in
	// for pid 1, for only this thread changed its namespace.
	proc := t.TempDir()
	if err := os.Symlink("/proc/self", proc+"/1"); err != nil {
		return err
	}
	f, err := detachedCgroup2(proc)
	if err != nil {
		t.Errorf("through pid 1's namespace: %v", err)
		return nil
	}
	attachThere(t, f)
	f.Close()
	return nil
}

func mountTable(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
