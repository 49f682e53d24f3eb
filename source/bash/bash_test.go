package bash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func bash(t *testing.T) *shell {
	t.Helper()
	return open(t, nil, bashPath(t), "--norc", "--noprofile", "-i")
}

func TestWhatIsTyped(t *testing.T) {
	old := bash(t) // before the collector
	l := begin(t)
	s := bash(t)
	s.run("echo one", "", "   ", "echo naïve 日本 🎉", "echo 'a  b'")
	s.enter("for i in 1 2; do", more)
	s.enter("  echo $i", more)
	s.enter("done", first)
	s.enter("cat <<E", more)
	s.enter("text of $HOME", more)
	s.enter("E", first)
	s.enter(`echo a \`, more)
	s.enter("b", first)
	s.run("echo expanded", "!!", "^expanded^changed", "!echo:s/changed/again/")
	s.run(`echo "not expanded" '!!'`)
	s.enter("if", more)
	s.enter(")", first) // a mistake
	s.run("set +o history", "echo without history", "echo !!", "set -o history")
	s.run("HISTCONTROL=ignorespace:ignoredups", " echo behind a space", "echo twice", "echo twice")
	s.typed("read -e answer\n")
	s.typed("this is no command\n")
	s.await(first)
	s.run("echo after")
	s.typed("read -e -p @asks@ answer\n")
	s.await("@asks@") // as it was typed
	s.await("@asks@")
	s.interrupt()
	s.enter("for i in 1; do", more)
	s.interrupt()
	s.run("echo still seen")
	s.typed("exit 3\n")
	if err := s.Cmd.Wait(); err == nil {
		t.Error("bash ended with 0")
	}
	old.run("echo of the old one", "!!")
	by := l.end()
	s.want(by, "echo one", "echo naïve 日本 🎉", "echo 'a  b'", "for i in 1 2; do\n  echo $i\ndone",
		"cat <<E\ntext of $HOME\nE", "echo a \\\nb", "echo expanded", "echo expanded", "echo changed", "echo again",
		`echo "not expanded" '!!'`, "if\n)",
		"set +o history", "echo without history", "echo !!", "set -o history",
		"HISTCONTROL=ignorespace:ignoredups", " echo behind a space", "echo twice", "echo twice",
		"read -e answer", "echo after", "read -e -p @asks@ answer", "for i in 1; do", "echo still seen", "exit 3")
	old.want(by, "echo of the old one", "echo of the old one")
}

func TestLongLines(t *testing.T) {
	l := begin(t)
	s := bash(t)
	fits, long := "echo "+strings.Repeat("x", 4096-5), "echo "+strings.Repeat("é", 2100)
	s.run("stty -echo -icanon", fits, long)
	got := l.end()[s.PID()]
	if len(got) != 3 {
		t.Fatalf("%d commands", len(got))
	}
	if got[1].Cmd != fits || got[1].Truncated {
		t.Errorf("%d bytes, truncated %v", len(got[1].Cmd), got[1].Truncated)
	}
	if c := got[2].Cmd; !got[2].Truncated || !strings.HasPrefix(long, c) || len(c) < 4093 || !utf8.ValidString(c) {
		t.Errorf("%d bytes, truncated %v", len(c), got[2].Truncated)
	}
}

// Three builds at once: each command is seen once, in order, with its shell's
// pid and user.
func TestManyBuilds(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	path := bashPath(t)
	l := begin(t)
	shells := map[string]*shell{"the machine's": bash(t), "in a root of its own": jailed(t, path)}
	if s := linked(t); s != nil {
		shells["with a shared readline"] = s
	}
	users := map[string]string{"in a root of its own": "jailbird"}
	want := map[*shell][]string{}
	for i := range n {
		for name, s := range shells {
			line := fmt.Sprintf(": %d of %s", i, strings.ReplaceAll(name, "'", ""))
			s.typed(line + "\n")
			want[s] = append(want[s], line)
		}
		for _, s := range shells {
			s.await(first)
		}
	}
	by := l.end()
	for name, s := range shells {
		s.want(by, want[s]...)
		for i, r := range by[s.PID()] {
			if user := users[name]; user != "" && (r.User != user || r.UID != 4242) ||
				r.SessionID != "session of "+s.PID() || i > 0 && r.Time < by[s.PID()][i-1].Time {
				t.Fatalf("%s: %+v", name, r)
			}
		}
	}
}

// jailed is a copy of bash in a root directory, mount namespace and with a
// user of its own; its file is deleted while it runs.
func jailed(t *testing.T, path string) *shell {
	t.Helper()
	root := t.TempDir()
	libraries, _ := exec.Command("ldd", path).Output() // without ldd: the guest's own directories
	files := []string{path}
	for _, word := range strings.Fields(string(libraries)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	if len(files) == 1 {
		more, _ := filepath.Glob("/lib*/*/*.so*")
		loader, _ := filepath.Glob("/lib*/ld-linux*")
		files = append(append(files, more...), loader...)
	}
	for _, f := range files {
		to := filepath.Join(root, f)
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	shell := filepath.Join(root, "build-of-its-own")
	if err := os.Rename(filepath.Join(root, path), shell); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(filepath.Join(root, "etc"), 0o755)
	os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/:\njailbird:x:4242:4242::/:\n"), 0o644)
	s := open(t, func(c *exec.Cmd) {
		c.SysProcAttr.Chroot = root
		c.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		c.SysProcAttr.Credential = credential(4242)
		c.Dir = "/"
	}, "/build-of-its-own", "--norc", "--noprofile", "-i")
	if err := os.Remove(shell); err != nil {
		t.Fatal(err)
	}
	return s
}

// What was typed before the shell was there to ask for it is its first command:
// the machine's own bash has its probes before any process runs it.
func TestTypedAhead(t *testing.T) {
	path := bashPath(t)
	l := begin(t)
	var shells []*shell
	for range 5 {
		s := ahead(t, "echo typed ahead\n", path)
		s.await(first)
		s.await(first)
		shells = append(shells, s)
	}
	by := l.end()
	for _, s := range shells {
		s.want(by, "echo typed ahead")
	}
}

// A bash that ends in another program, as bash -c does, is still one to those
// that come after it.
func TestShellThatBecomesAnother(t *testing.T) {
	path := bashPath(t)
	copied := filepath.Join(t.TempDir(), "bash")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, b, 0o755); err != nil {
		t.Fatal(err)
	}
	l := begin(t)
	for range 20 {
		for _, shell := range []string{path, copied} {
			if out, err := exec.Command(shell, "-c", "exec /proc/self/exe --version").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			// The test binary, which is no shell, lists its tests.
			exe, _ := os.Executable()
			if err := exec.Command(shell, "-c", "exec "+exe+" -test.list none").Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var shells []*shell
	for _, name := range []string{path, copied} {
		s := open(t, nil, name, "--norc", "--noprofile", "-i")
		s.run("echo seen")
		shells = append(shells, s)
	}
	by := l.end()
	for _, s := range shells {
		s.want(by, "echo seen")
	}
}

// Two containers of one image share the file of their shell through overlays:
// a command is seen once.
func TestSharedImage(t *testing.T) {
	path := bashPath(t)
	lower := t.TempDir()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lower, "shell-of-image"), b, 0o755); err != nil {
		t.Fatal(err)
	}
	l := begin(t)
	var shells []*shell
	for range 2 {
		dir := t.TempDir()
		for _, d := range []string{"upper", "work", "merged"} {
			os.Mkdir(filepath.Join(dir, d), 0o755)
		}
		merged := filepath.Join(dir, "merged")
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir)
		if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
			t.Skipf("no overlays here: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(merged, unix.MNT_DETACH) })
		shells = append(shells, open(t, nil, filepath.Join(merged, "shell-of-image"), "--norc", "--noprofile", "-i"))
	}
	for i, s := range shells {
		s.run(fmt.Sprintf("echo in container %d", i), ": same", ": same")
	}
	by := l.end()
	for i, s := range shells {
		s.want(by, fmt.Sprintf("echo in container %d", i), ": same", ": same")
	}
}

// In a user namespace a user has the name and the number that the namespace
// gives it.
func TestUserNamespace(t *testing.T) {
	l := begin(t)
	s := open(t, func(c *exec.Cmd) {
		c.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 77777, HostID: 0, Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 77777, HostID: 0, Size: 1}}
	}, bashPath(t), "--norc", "--noprofile", "-i")
	s.run("echo mapped")
	by := l.end()
	s.want(by, "echo mapped")
	if got := by[s.PID()]; len(got) == 1 && (got[0].User != "77777" || got[0].UID != 0) {
		t.Errorf("%+v", got[0])
	}
}
