package selection

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeProcess writes /proc/PID below a root: what no real process can be made
// to be, such as the next owner of a pid.
func fakeProcess(t *testing.T, root string, pid, start int, comm string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.Repeat("1 ", 50), " ")
	fields[0], fields[startField] = "S", fmt.Sprint(start)
	files["stat"] = fmt.Sprintf("%d (%s) %s\n", pid, comm, strings.Join(fields, " "))
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoRules(t *testing.T) {
	s := New("/nowhere", Rules{}, 7)
	if s.Wanted(7, "weft") || !s.Wanted(8, "weft") || !s.Wanted(0, "") {
		t.Error("without rules all but the collector itself are wanted")
	}
	if s.Selected() != 0 || count(s, "selection_decisions_total") != 0 {
		t.Error("decided without rules")
	}
}

func TestSelfIsNeverWanted(t *testing.T) {
	s := New("/proc", parsed(t, []string{"path:*", fmt.Sprintf("uid:%d", os.Geteuid())}, nil), os.Getpid())
	if s.Wanted(uint32(os.Getpid()), "weft") {
		t.Error("the collector looks at itself")
	}
	if !s.Wanted(uint32(os.Getppid()), "parent") {
		t.Error("nor at its parent")
	}
}

func TestPidReuse(t *testing.T) {
	root := t.TempDir()
	fakeProcess(t, root, 9, 100, "app", map[string]string{"environ": "A=1\x00"})
	s, now := clocked(root, parsed(t, []string{"env:A"}, nil))
	check := func(want bool) {
		t.Helper()
		if got := s.Wanted(9, "app"); got != want {
			t.Errorf("got %v", got)
		}
	}
	check(true)
	fakeProcess(t, root, 9, 200, "app", map[string]string{"environ": "B=1\x00"})
	check(true) // within the second
	*now += recheck
	check(false)
	// Another comm is another question, at once.
	fakeProcess(t, root, 9, 300, "other", map[string]string{"environ": "A=1\x00"})
	check(false)
	if !s.Wanted(9, "other") {
		t.Error("decided by the pid's last owner")
	}
	*now += recheck
	check(true)
	if got := s.Selected(); got != 1 {
		t.Errorf("%d selected, want one pid", got)
	}
	if got := count(s, "selection_decisions_total"); got != 4 {
		t.Errorf("%v decisions", got)
	}
}

func TestChangesWithoutExec(t *testing.T) {
	root := t.TempDir()
	status := func(uid string) map[string]string {
		return map[string]string{"status": "Name:\tapp\nUid:\t0\t" + uid + "\t0\t0\nGid:\t0\n"}
	}
	fakeProcess(t, root, 9, 100, "app", status("0"))
	s, now := clocked(root, parsed(t, []string{"uid:33"}, nil))
	if s.Wanted(9, "app") {
		t.Error("not yet")
	}
	fakeProcess(t, root, 9, 100, "app", status("33"))
	*now += recheck
	if s.Wanted(9, "app") || count(s, "selection_decisions_total") != 1 {
		t.Error("the same program was judged again after a second")
	}
	*now += rejudge
	if !s.Wanted(9, "app") {
		t.Error("the change was never seen")
	}
}

func TestSet(t *testing.T) {
	root := t.TempDir()
	for pid, comm := range map[int]string{1: "nginx", 2: "redis", 3: "curl"} {
		fakeProcess(t, root, pid, 100, comm, map[string]string{"environ": "PID=" + fmt.Sprint(pid) + "\x00"})
	}
	s, _ := clocked(root, Rules{})
	check := func(step string, nginx, redis, curl bool) {
		t.Helper()
		for range 2 {
			n, r, c := s.Wanted(1, "nginx"), s.Wanted(2, "redis"), s.Wanted(3, "curl")
			if n != nginx || r != redis || c != curl {
				t.Errorf("%s: got %v %v %v", step, n, r, c)
			}
		}
	}
	check("none", true, true, true)
	s.Set(parsed(t, []string{"name:nginx", "env:PID=2"}, nil))
	check("allow of two kinds", true, true, false)
	if s.Selected() != 2 || count(s, "selection_processes", "wanted", "false") != 1 {
		t.Errorf("%d selected", s.Selected())
	}
	s.Set(parsed(t, []string{"name:nginx", "env:PID=2"}, []string{"env:PID=1"}))
	check("deny wins", false, true, false)
	s.Set(parsed(t, nil, []string{"name:*r*"}))
	check("deny alone", true, false, false)
	if s.Selected() != 1 {
		t.Errorf("%d selected", s.Selected())
	}
	s.Set(Rules{})
	check("none again", true, true, true)
}

// TestMissingFacts: what a live process does not show is counted once, and
// asked again every second.
func TestMissingFacts(t *testing.T) {
	root := t.TempDir()
	fakeProcess(t, root, 9, 100, "app", map[string]string{})
	s, now := clocked(root, parsed(t, []string{"env:A"}, nil))
	for range 3 {
		if s.Wanted(9, "app") {
			t.Error("wanted without an environment to read")
		}
		*now += recheck
	}
	if got := count(s, "selection_unknown_total"); got != 1 {
		t.Errorf("unknown %v, want 1", got)
	}
	fakeProcess(t, root, 9, 100, "app", map[string]string{"environ": "A=1\x00"})
	if !s.Wanted(9, "app") {
		t.Error("the environment came late and was not read")
	}
}

func TestLongEnvironment(t *testing.T) {
	root := t.TempDir()
	pad := strings.Repeat("x", maxEnviron-20)
	environ := "P=" + pad + "\x00A=1\x00LONG=cut here, or so\x00B=1\x00"
	fakeProcess(t, root, 9, 100, "app", map[string]string{"environ": environ})
	for text, want := range map[string]struct {
		wanted  bool
		unknown float64
	}{
		"env:A": {true, 0}, "env:LONG": {false, 1}, "env:B": {false, 1},
	} {
		s, _ := clocked(root, parsed(t, []string{text}, nil))
		if got := s.Wanted(9, "app"); got != want.wanted || count(s, "selection_unknown_total") != want.unknown {
			t.Errorf("%s: %v, unknown %v", text, got, count(s, "selection_unknown_total"))
		}
	}
}

func TestHostileProc(t *testing.T) {
	full := " S" + strings.Repeat(" 1", 50)
	for text, ok := range map[string]bool{
		"1 (a) b (c) R)" + full: true, "": false, "1 (x": false, ")(": false, "1 (x) S 1 2": false, "1 (x)": false,
		"1 (x) S" + strings.Repeat(" x", 50): false, "1 (x) S" + strings.Repeat(" -1", 50): false,
	} {
		if st, err := parseStat([]byte(text)); (err == nil) != ok || ok && st.name != "a) b (c) R" {
			t.Errorf("%q: %+v %v", text, st, err)
		}
	}
	root := t.TempDir()
	fakeProcess(t, root, 9, 100, "app", map[string]string{"environ": "\x00\x00=\x00A\x00", "cmdline": "\x00\x00\x00",
		"status": "Uid:", "cgroup": "::::\n\n\xff"})
	for _, text := range []string{"env:A", "name:x", "uid:0", "cgroup:/x", "container:x", "path:x"} {
		if s, _ := clocked(root, parsed(t, []string{text}, nil)); s.Wanted(9, "app") {
			t.Errorf("%s matches nonsense", text)
		}
	}
}

func TestCacheIsBound(t *testing.T) {
	s, now := clocked(t.TempDir(), parsed(t, []string{"name:a"}, nil))
	for pid := range uint32(maxEntries + 100) {
		*now++
		s.Wanted(pid, "a")
		if pid%1000 == 0 {
			*now += recheck
			s.Wanted(0, "a") // in use all the time
		}
	}
	if len(s.known) != maxEntries || s.order.Len() != maxEntries {
		t.Errorf("%d entries, %d in order", len(s.known), s.order.Len())
	}
	if s.known[key{0, "a"}] == nil || s.known[key{1, "a"}] != nil {
		t.Error("not the longest unused was forgotten")
	}
	if s.Selected() != maxEntries {
		t.Errorf("%d selected", s.Selected())
	}
	*now += lately + recheck
	s.Wanted(0, "a")
	if s.Selected() != 1 {
		t.Errorf("%d selected, want the one seen in the last minute", s.Selected())
	}
}

func TestConcurrentUse(t *testing.T) {
	a, b := parsed(t, []string{"path:*"}, nil), parsed(t, nil, []string{"path:*"})
	s := New("/proc", a, 0)
	parent := uint32(os.Getppid())
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 300 {
				s.Wanted(parent, fmt.Sprint(i%20))
				if g == 0 && i%10 == 0 {
					s.Set([]Rules{a, b}[i/10%2])
					s.Selected()
				}
			}
		})
	}
	all.Wait()
	s.Set(a)
	if !s.Wanted(parent, "0") {
		t.Error("the last rules do not hold")
	}
	s.Set(b)
	if s.Wanted(parent, "0") {
		t.Error("the last rules do not hold")
	}
}

// BenchmarkWanted: cached is what each chunk costs, new a process's first.
func BenchmarkWanted(b *testing.B) {
	r, err := Parse([]string{"name:no*", "env:WEFT_TEST", "container:abc", "uid:0"}, []string{"path:/no/*"})
	if err != nil {
		b.Fatal(err)
	}
	pid := uint32(os.Getppid())
	b.Run("cached", func(b *testing.B) {
		s := New("/proc", r, 0)
		for b.Loop() {
			s.Wanted(pid, "parent")
		}
	})
	b.Run("cached of 1000", func(b *testing.B) {
		s, _ := clocked("/proc", r)
		for i := 0; b.Loop(); i++ {
			s.Wanted(uint32(1<<22+i%1000), "some-program")
		}
	})
	b.Run("rechecked", func(b *testing.B) {
		s, now := clocked("/proc", r)
		s.Wanted(pid, "parent")
		for b.Loop() {
			*now += recheck
			s.known[key{pid, "parent"}].Value.(*decision).judged = *now
			s.Wanted(pid, "parent")
		}
	})
	b.Run("new", func(b *testing.B) {
		s := New("/proc", r, 0)
		for b.Loop() {
			s.Set(r)
			s.Wanted(pid, "parent")
		}
	})
	b.Run("no rules", func(b *testing.B) {
		s := New("/proc", Rules{}, 0)
		for b.Loop() {
			s.Wanted(pid, "parent")
		}
	})
}
