package exec

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/config"
	"weft/ledger"
	"weft/record"
)

// TestMain lets the test binary be a program that is started: it ends with the
// status that its last argument says.
func TestMain(m *testing.M) {
	switch os.Getenv("WEFT_EXEC_TEST") {
	case "exit":
		code, _ := strconv.Atoi(os.Args[len(os.Args)-1])
		os.Exit(code)
	case "again": // another program in the same process
		os.Setenv("WEFT_EXEC_TEST", "exit")
		_ = syscall.Exec("/proc/self/exe", []string{"second", "7"}, os.Environ())
	case "wait":
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "threads": // a thread that is not the leader ends the process
		go func() { os.Exit(9) }()
		select {}
	}
	os.Exit(m.Run())
}

type lab struct {
	t      *testing.T
	source *Source
	led    *ledger.Ledger
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	rows   []*record.Exec
}

func begin(t *testing.T, change func(*config.Config)) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading BPF programs needs root")
	}
	if _, err := exec.LookPath("/bin/sh"); err != nil {
		t.Skip("no /bin/sh: the VM lab packs one with -bin /bin/sh")
	}
	cfg := &config.Config{EnabledPlugins: []string{"ebpf-exec"}, Interval: time.Minute,
		Exec: config.Exec{Redact: []string{"default"}, MaxArgs: 4096}}
	if change != nil {
		change(cfg)
	}
	l := &lab{t: t, led: ledger.New(), done: make(chan error, 1)}
	s, err := New(cfg, Options{}, l.led, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.source = s
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	go func() { l.done <- s.Run(ctx, l.emit) }()
	t.Cleanup(cancel)
	return l
}

func (l *lab) emit(batch []record.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range batch {
		l.rows = append(l.rows, r.(*record.Exec))
	}
}

// end stops the source and returns all rows.
func (l *lab) end() []*record.Exec {
	l.t.Helper()
	l.cancel()
	if err := <-l.done; err != nil {
		l.t.Errorf("the source ended with: %v", err)
	}
	return l.rows
}

// program is the test binary in another role.
func program(role string, argv ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env = append(os.Environ(), "WEFT_EXEC_TEST="+role)
	return cmd
}

func rowsOf(rows []*record.Exec, pid int, event string) []*record.Exec {
	var some []*record.Exec
	for _, r := range rows {
		if r.Pid == strconv.Itoa(pid) && r.Event == event {
			some = append(some, r)
		}
	}
	return some
}

func run(t *testing.T, cmd *exec.Cmd) (pid, code int) {
	t.Helper()
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, cmd.ProcessState.ExitCode()
}

// Every program is told of once when it begins and once when it ends, with what
// it was given and its status, however fast they come.
func TestEveryProgram(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	l := begin(t, nil)
	type truth struct {
		argv string
		code int
	}
	want := map[int]truth{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for w := range 2 {
		wait.Go(func() {
			for i := w; i < n; i += 2 {
				argv := []string{"/bin/sh", "-c", "exit $1", fmt.Sprintf("run %d", i), strconv.Itoa(i % 200)}
				pid, err := syscall.ForkExec("/bin/sh", argv, nil)
				if err != nil {
					t.Error(err)
					return
				}
				var ws syscall.WaitStatus
				if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if _, twice := want[pid]; twice {
					t.Log("a pid was used twice")
				}
				want[pid] = truth{quote(argv), ws.ExitStatus()}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	rows := l.end()
	starts, ends := map[string]*record.Exec{}, map[string]*record.Exec{}
	for _, r := range rows {
		into := map[string]map[string]*record.Exec{"start": starts, "exit": ends}[r.Event]
		if !strings.Contains(r.Cmd, "'run ") {
			continue
		}
		if into[r.ExecID] != nil {
			t.Errorf("%s of %s twice", r.Event, r.ExecID)
		}
		into[r.ExecID] = r
	}
	if len(starts) != n || len(ends) != n {
		t.Errorf("%d starts and %d ends of %d programs", len(starts), len(ends), n)
	}
	wrong := 0
	for _, r := range ends {
		pid, _ := strconv.Atoi(r.Pid)
		w := want[pid]
		if w.argv != r.Cmd || int64(w.code) != r.ExitCode || r.Duration <= 0 || r.Ppid != strconv.Itoa(os.Getpid()) {
			wrong++
			if wrong < 5 {
				t.Errorf("%+v %+v, want %+v", r, r.ExecStatus, w)
			}
		}
	}
	for _, s := range l.led.Snapshot() {
		t.Logf("%s: in %d out %d dropped %v", s.Stage, s.In, s.Out, s.Dropped)
		for reason, count := range s.Dropped {
			if count != 0 {
				t.Errorf("dropped %d: %s", count, reason)
			}
		}
		if s.In != s.Out {
			t.Errorf("%s: in %d, out %d", s.Stage, s.In, s.Out)
		}
	}
}

func TestWhereAndHow(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(dir, "a b", "ünïcode", strings.Repeat("x", 200), "y")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	l := begin(t, nil)
	cmd := program("exit", "named so", "--password=hunter2", "naïve 'quoted'", "", "5")
	cmd.Dir = deep
	pid, _ := run(t, cmd)
	killed := program("wait", "victim")
	in, err := killed.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Process.Kill()
	_ = killed.Wait()
	second, _ := run(t, program("again", "first"))
	threads, _ := run(t, program("threads", "threads"))
	other := program("exit", "nobody", "0")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
	other.Path = "/proc/self/exe"
	stranger, _ := run(t, other)
	rows := l.end()
	exe, _ := os.Readlink("/proc/self/exe")
	for _, event := range []string{"start", "exit"} {
		got := rowsOf(rows, pid, event)
		if len(got) != 1 {
			t.Fatalf("%s: %d rows", event, len(got))
		}
		r := got[0]
		if want := `'named so' --password=*** 'naïve '\''quoted'\''' '' 5`; r.Cmd != want {
			t.Errorf("%s: cmd %s, want %s", event, r.Cmd, want)
		}
		if r.Exe != exe || r.Cwd != deep || r.UID != 0 || r.ArgsTruncated || r.Ppid != strconv.Itoa(os.Getpid()) {
			t.Errorf("%s: %+v; want exe %s cwd %s", event, r, exe, deep)
		}
		if name := r.User; name != "root" && name != "0" { // a guest of the VM lab may have no passwd
			t.Errorf("user %q", name)
		}
	}
	if r := rowsOf(rows, pid, "exit")[0]; r.ExitCode != 5 || r.Signal != "" {
		t.Errorf("%+v", r.ExecStatus)
	}
	if r := rowsOf(rows, killed.Process.Pid, "exit")[0]; r.ExitCode != 128+9 || r.Signal != "SIGKILL" {
		t.Errorf("%+v", r.ExecStatus)
	}
	if r := rowsOf(rows, threads, "exit"); len(r) != 1 || r[0].ExitCode != 9 {
		t.Errorf("of threads: %+v", r)
	}
	starts, replaced, ends := rowsOf(rows, second, "start"), rowsOf(rows, second, "replaced"), rowsOf(rows, second, "exit")
	if len(starts) != 2 || len(replaced) != 1 || len(ends) != 1 {
		t.Fatalf("exec in the same process: %d starts, %d replaced, %d ends", len(starts), len(replaced), len(ends))
	}
	if replaced[0].ExecID != starts[0].ExecID || replaced[0].Cmd != "first" || replaced[0].ExecStatus != nil ||
		ends[0].ExecID != starts[1].ExecID || ends[0].ExitCode != 7 {
		t.Errorf("replaced %+v, end %+v", replaced[0], ends[0])
	}
	if r := rowsOf(rows, stranger, "exit")[0]; r.UID != 4242 || r.User != "4242" {
		t.Errorf("uid %d, user %q", r.UID, r.User)
	}
}

// A long command line is cut and says so; the end of it is not made up.
func TestLongArguments(t *testing.T) {
	l := begin(t, func(c *config.Config) { c.Exec.MaxArgs = 16384 })
	long, _ := run(t, program("exit", "long", strings.Repeat("0123456789", 10_000), "0"))
	fits, _ := run(t, program("exit", "fits", strings.Repeat("x", 16384-len("fits")-1-1-2), "0"))
	rows := l.end()
	r := rowsOf(rows, long, "exit")[0]
	if !r.ArgsTruncated || r.Cmd != "long "+strings.Repeat("0123456789", 10_000)[:16384-5] {
		t.Errorf("truncated %v, %d bytes", r.ArgsTruncated, len(r.Cmd))
	}
	if r := rowsOf(rows, fits, "exit")[0]; r.ArgsTruncated || !strings.HasSuffix(r.Cmd, "x 0") || len(r.Cmd) != 16384-1 {
		t.Errorf("truncated %v, %d bytes", r.ArgsTruncated, len(r.Cmd))
	}
}

// Processes of a session share its id, also when the leader has gone, and it is
// known after they have ended.
func TestSessions(t *testing.T) {
	l := begin(t, nil)
	of := l.source.Sessions()
	own, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	// The leader starts a child that outlives it.
	script := `( exec 0<&3; read x; /bin/sh -c :; exit 3 ) 3<&0 & echo $! ; exit 0`
	leader := exec.Command("/bin/sh", "-c", script)
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	leader.Stdin = r
	out, err := leader.Output()
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	id := of.Of(uint32(child))
	if !strings.HasPrefix(id, strconv.Itoa(leader.Process.Pid)+"-") || strings.Contains(id, "-0-") {
		t.Errorf("the child of leader %d is of session %q", leader.Process.Pid, id)
	}
	fmt.Fprintln(w)
	w.Close()
	for range 500 {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", child)); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(fresh) // past what is remembered
	for what, pid := range map[string]int{"child": child, "leader": leader.Process.Pid} {
		if got := of.Of(uint32(pid)); got != id {
			t.Errorf("%s after its end: %q, want %q", what, got, id)
		}
	}
	mine := of.Of(uint32(os.Getpid()))
	if own != 0 && !strings.HasPrefix(mine, strconv.Itoa(own)+"-") || own == 0 && mine != "" {
		t.Errorf("own session %d: %q", own, mine)
	}
	if got := of.Of(2); got != "" {
		t.Errorf("a kernel thread is of session %q", got)
	}
	rows := l.end()
	if got := rowsOf(rows, leader.Process.Pid, "exit"); len(got) != 1 || got[0].SessionID != id {
		t.Errorf("the leader's rows are of another session than %q: %+v", id, got)
	}
	trues := 0
	for _, r := range rows {
		if r.Event == "start" && r.Cmd == "/bin/sh -c :" && r.SessionID == id {
			trues++
		}
	}
	if trues != 1 {
		t.Errorf("%d programs of the orphan are of its session, want 1", trues)
	}
}

// SIGHUP turns records off and on, and changes what is hidden; sessions stay known.
func TestReload(t *testing.T) {
	l := begin(t, nil)
	cfg := config.Config{EnabledPlugins: []string{"ebpf-bash"}, Exec: config.Exec{Redact: []string{"plum"}}}
	if err := l.source.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	off, _ := run(t, program("exit", "off", "0"))
	cfg.EnabledPlugins = []string{"ebpf-exec"}
	if err := l.source.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	on, _ := run(t, program("exit", "a plum", "0"))
	cfg.Exec.Redact = []string{"("}
	if err := l.source.Reload(&cfg); err == nil {
		t.Error("a bad expression was taken")
	}
	rows := l.end()
	if n := len(rowsOf(rows, off, "start")) + len(rowsOf(rows, off, "exit")); n != 0 {
		t.Errorf("%d rows while records were off", n)
	}
	if got := rowsOf(rows, on, "exit"); len(got) != 1 || got[0].Cmd != "'a ***' 0" {
		t.Errorf("%+v", got)
	}
}
