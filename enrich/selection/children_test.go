package selection

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const longName = "weft-a-process-with-a-long-name"

func cut(name string) string { return name[:min(len(name), commLen)] }

// program is a copy of sleep with another name, which any user may run.
func program(t *testing.T, name string) string {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep to copy:", err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "weft-selection-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts the command and waits until it is the program of that comm, with
// its arguments in place.
func run(t *testing.T, cmd *exec.Cmd, comm string) uint32 {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	pid := uint32(cmd.Process.Pid)
	await(t, pid, comm)
	return pid
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func await(t *testing.T, pid uint32, comm string) {
	t.Helper()
	for range 400 {
		f := look("/proc", pid, comm)
		args, _ := os.ReadFile(f.path("cmdline"))
		if !f.gone && f.name == comm && len(args) > 0 && f.image.envTo > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("pid %d never became %s", pid, comm)
}

func parsed(t *testing.T, allow, deny []string) Rules {
	t.Helper()
	r, err := Parse(allow, deny)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func count(s *Selector, name string, labels ...string) float64 {
	for _, g := range s.Gauges() {
		if g.Name == name && strings.Join(g.Labels, " ") == strings.Join(labels, " ") {
			return g.Read()
		}
	}
	return -1
}

// checkRules asks a new selector for each rule whether it alone lets the
// process in, and whether denying it keeps the process out.
func checkRules(t *testing.T, pid uint32, comm string, want map[string]bool) {
	t.Helper()
	for text, matches := range want {
		s := New("/proc", parsed(t, []string{text}, nil), os.Getpid())
		if got := s.Wanted(pid, comm); got != matches {
			t.Errorf("allow %s: %v", text, got)
		}
		d := New("/proc", parsed(t, nil, []string{text}), os.Getpid())
		if got := d.Wanted(pid, comm); got == matches {
			t.Errorf("deny %s: %v", text, got)
		}
		if n := count(s, "selection_unknown_total") + count(d, "selection_unknown_total"); n != 0 {
			t.Errorf("%s: %v judgements of a live process lacked a fact", text, n)
		}
	}
}

func TestRulesOfChildren(t *testing.T) {
	path := program(t, longName)
	cmd := exec.Command(path, "60")
	cmd.Args[0] = "/opt/Some Where/another-title: writer /x"
	cmd.Env = []string{"WEFT_TEST=some/value=1", "EMPTY=", "DD_SERVICE=orders"}
	pid := run(t, cmd, cut(longName))
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	// The test may itself run in a container.
	contained := slices.ContainsFunc(cgroupPaths(string(own)), func(path string) bool {
		return containerOf(path) != container{}
	})
	checkRules(t, pid, cut(longName), map[string]bool{
		"name:" + longName:                      true,
		"name:" + cut(longName):                 true, // the comm
		"name:weft-a-*-long-name":               true,
		"name:another-title":                    true,
		"name:x":                                false,
		"name:weft":                             false,
		"name:*sleep*":                          false,
		"path:" + path:                          true,
		"path:/tmp/*/weft-*":                    true,
		"path:/usr/bin/*":                       false,
		"path:" + longName:                      false,
		"env:WEFT_TEST":                         true,
		"env:WEFT_TEST=some*=?":                 true,
		"env:WEFT_TEST=some":                    false,
		"env:WEFT":                              false,
		"env:EMPTY":                             true,
		"env:EMPTY=":                            true,
		"env:EMPTY=?*":                          false,
		"env:DD_SERVICE=orders":                 true,
		"env:dd_service":                        false,
		"env:PATH":                              false,
		"uid:" + strconv.Itoa(os.Geteuid()):     true,
		"uid:12345":                             false,
		"cgroup:" + cgroupPaths(string(own))[0]: true,
		"cgroup:/no/such/*":                     false,
		"container:*":                           contained,
	})
}

func TestScriptName(t *testing.T) {
	script := filepath.Join(t.TempDir(), "weft-script-with-a-long-name.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh -e\nsleep 60 & wait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	pid := run(t, exec.Command(script), cut(filepath.Base(script)))
	checkRules(t, pid, cut(filepath.Base(script)), map[string]bool{
		"name:weft-script-with-a-long-name.sh": true, "name:weft-script-with-*.py": false, "name:-e": false,
	})
}

// TestUserChange: a process that becomes another user, by exec, which is seen
// after a second.
func TestUserChange(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and setpriv")
	}
	path := program(t, "weft-uid-test")
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read x; exec "+setpriv+" --reuid 4242 --clear-groups "+path+" 60")
	cmd.Stdin = in
	pid := run(t, cmd, "sh")
	s, now := clocked("/proc", parsed(t, []string{"uid:4242"}, nil))
	// Always under the same comm, as if it had not changed.
	if s.Wanted(pid, "sh") {
		t.Error("root is user 4242")
	}
	if _, err := out.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	await(t, pid, "weft-uid-test")
	if s.Wanted(pid, "sh") {
		t.Error("looked again within the same second")
	}
	*now += recheck
	if !s.Wanted(pid, "sh") {
		t.Error("the user's change was not seen")
	}
	checkRules(t, pid, "weft-uid-test", map[string]bool{"uid:4242": true, "uid:0": false})
	cred := exec.Command(path, "60")
	cred.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4243, Gid: 4243}}
	checkRules(t, run(t, cred, "weft-uid-test"), "weft-uid-test", map[string]bool{"uid:4243": true, "uid:4242": false})
}

// TestExecOfTheSameProgram: only the environment changes.
func TestExecOfTheSameProgram(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read x; NEW=1 exec /bin/sh -c 'read y; read z'")
	cmd.Stdin = in
	pid := run(t, cmd, "sh")
	before := look("/proc", pid, "sh").image
	s, now := clocked("/proc", parsed(t, []string{"env:NEW"}, nil))
	if s.Wanted(pid, "sh") {
		t.Error("not yet")
	}
	if _, err := out.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if look("/proc", pid, "sh").image != before {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	await(t, pid, "sh")
	*now += recheck
	if !s.Wanted(pid, "sh") {
		t.Error("the new environment was not seen")
	}
	if got := count(s, "selection_decisions_total"); got != 2 {
		t.Errorf("%v decisions", got)
	}
}

// TestRealContainerCgroup moves a child into a cgroup that is named as Docker
// names them.
func TestRealContainerCgroup(t *testing.T) {
	dir := filepath.Join(cgroupMount(t), "weft-test", "docker", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skip("needs root to make a cgroup:", err)
	}
	cmd := exec.Command(program(t, "weft-in-cgroup"), "60")
	pid := run(t, cmd, "weft-in-cgroup")
	t.Cleanup(func() {
		end(cmd)
		for d := dir; filepath.Base(d) != "weft-test"; d = filepath.Dir(d) {
			os.Remove(d)
		}
		os.Remove(filepath.Dir(filepath.Dir(dir)))
	})
	s, now := clocked("/proc", parsed(t, []string{"container:" + id[:12]}, nil))
	if s.Wanted(pid, "weft-in-cgroup") {
		t.Error("it is in no container yet")
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(int(pid))), 0o644); err != nil {
		t.Fatal(err)
	}
	*now += rejudge
	if !s.Wanted(pid, "weft-in-cgroup") {
		t.Error("the move was not seen")
	}
	checkRules(t, pid, "weft-in-cgroup", map[string]bool{
		"container:*": true, "container:" + id: true, "container:*" + id[60:]: true, "container:" + id[1:]: false,
		"cgroup:/weft-test/docker/*": true, "cgroup:/weft-test": false,
	})
}

func cgroupMount(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Skip("no cgroup v2 here")
	return ""
}

func TestGoneChild(t *testing.T) {
	cmd := exec.Command(program(t, longName), "60")
	cmd.Env = []string{"WEFT_TEST=1"}
	pid := run(t, cmd, cut(longName))
	s, now := clocked("/proc", parsed(t, []string{"env:WEFT_TEST"}, nil))
	if !s.Wanted(pid, cut(longName)) {
		t.Fatal("alive and not wanted")
	}
	_ = cmd.Process.Kill()
	for look("/proc", pid, "").state != 'Z' {
		time.Sleep(time.Millisecond)
	}
	// A zombie, then nothing: what was known stays.
	*now += rejudge
	zombie := s.Wanted(pid, cut(longName))
	_ = cmd.Wait()
	*now += rejudge
	if !zombie || !s.Wanted(pid, cut(longName)) || count(s, "selection_unknown_total") != 0 {
		t.Error("forgotten once it was gone")
	}
	for _, tt := range []struct {
		allow, deny string
		wanted      bool
		unknown     float64
	}{
		{allow: "name:" + cut(longName), wanted: true},
		{allow: "name:weft-*", wanted: true},
		{allow: "name:nginx"},
		{deny: "name:nginx", wanted: true},
		{deny: "name:weft-*"},
		{allow: "name:" + longName, unknown: 1}, // the comm is cut
		{allow: "env:WEFT_TEST", unknown: 1},
		{allow: "path:*", unknown: 1},
		{allow: "uid:0", unknown: 1},
		{allow: "container:*", unknown: 1},
		{allow: "cgroup:*", unknown: 1},
		{deny: "env:WEFT_TEST", wanted: true, unknown: 1},
	} {
		var lists [2][]string
		for i, text := range []string{tt.allow, tt.deny} {
			if text != "" {
				lists[i] = []string{text}
			}
		}
		s, now := clocked("/proc", parsed(t, lists[0], lists[1]))
		for range 3 {
			if got := s.Wanted(pid, cut(longName)); got != tt.wanted {
				t.Errorf("allow %q, deny %q: %v", tt.allow, tt.deny, got)
			}
			*now += rejudge
		}
		if got := count(s, "selection_unknown_total"); got != tt.unknown {
			t.Errorf("allow %q, deny %q: unknown %v, want %v", tt.allow, tt.deny, got, tt.unknown)
		}
	}
}

// clocked is a selector whose clock stands still.
func clocked(proc string, r Rules) (*Selector, *time.Duration) {
	s := New(proc, r, os.Getpid())
	now := new(time.Duration)
	*now = time.Hour
	s.now = func() time.Duration { return *now }
	return s, now
}
