package tls

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/probe/executable"
	"weft/record"
)

// compile builds testdata/cpeer with OpenSSL inside.
func compile(t *testing.T, args ...string) string {
	t.Helper()
	need(t, "gcc")
	out := filepath.Join(t.TempDir(), "cpeer")
	args = append(args, "-o", out, "testdata/cpeer/main.c", "-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread")
	cmd := exec.Command("gcc", args...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("OpenSSL cannot be linked statically here (libssl-dev): %s", text)
	}
	return out
}

func TestStaticOpenSSL(t *testing.T) {
	need(t, "python3")
	peer := compile(t, "-O2")
	pem := certificate(t)
	port, _ := serve(t, "python3", "-c", pythonServer, pem)
	b := begin(t)
	const n = 10
	client(t, b, peer, fmt.Sprint(port), fmt.Sprint(n))
	all := b.end()
	wantRequests(t, "static", on(all, port, record.Outgoing), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
	samePlaintext(t, all, port)
}

// listed waits until a process is listed, with or without probes.
func (b *bench) listed(pid int) Process {
	for range 100 {
		for _, p := range b.source.Processes() {
			if p.PID == pid {
				return p
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("process %d is not listed", pid)
	return Process{}
}

// What cannot be read is listed with the reason.
func TestReasons(t *testing.T) {
	pem := certificate(t)
	for _, c := range []struct {
		name string
		peer func(*testing.T) (string, []string)
		kind Kind
		want string
	}{
		{"stripped OpenSSL", func(t *testing.T) (string, []string) {
			return compile(t, "-O2", "-s"), []string{"1", "1"}
		}, OpenSSL, "symbols were stripped"},
		{"old Go", func(t *testing.T) (string, []string) {
			return build(t, "go1.16.15"), []string{"serve", pem}
		}, Go, "1.17 and later"},
		{"denied", func(t *testing.T) (string, []string) {
			peer := build(t, "local")
			to := filepath.Join(filepath.Dir(peer), "falcon-sensor")
			if err := os.Rename(peer, to); err != nil {
				t.Fatal(err)
			}
			return to, []string{"serve", pem}
		}, Go, "checks its own code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer, args := c.peer(t)
			b := begin(t)
			cmd := exec.Command(peer, args...)
			if _, err := cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer cmd.Process.Kill()
			p := b.listed(cmd.Process.Pid)
			if p.Attached || p.Kind != c.kind || !strings.Contains(p.Reason, c.want) {
				t.Errorf("%+v", p)
			}
		})
	}
}

// A process that was not chosen gets no probes of its own, and nothing is taken
// of what it does in a library that others share.
func TestNotChosen(t *testing.T) {
	need(t, "python3", "curl")
	pem := certificate(t)
	port, _ := serve(t, "python3", "-c", pythonServer, pem)
	peer := build(t, "local")
	own := exec.Command(peer, "serve", pem)
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	defer own.Wait()
	defer own.Process.Kill()
	wanted := func(_ uint32, comm string) bool { return comm == "curl" }
	b := beginChosen(t, liveSockets(t), ladders{functions: functionRungs(), sockets: socketDoors()}, wanted)
	if p := b.listed(own.Process.Pid); p.Attached || p.Reason != leftOut {
		t.Errorf("%+v", p)
	}
	const n = 5
	run(t, "curl", append([]string{"-s", "--cacert", pem, "--http1.1"}, urls(port, n)...)...)
	all := b.end()
	wantRequests(t, "curl", on(all, port, record.Outgoing), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
	if python := on(all, port, record.Incoming); len(python) > 0 {
		t.Errorf("python was not chosen: %+v", python[0].info)
	}
	for _, f := range b.source.found.files.all {
		if f.path == peer && f.attached() {
			t.Errorf("%s has probes", f.path)
		}
	}
}

func TestCollectorIsNotProbed(t *testing.T) {
	b := begin(t)
	for _, p := range b.source.Processes() {
		if p.PID == os.Getpid() {
			t.Errorf("%+v", p)
		}
	}
}

// libraries copies the system's OpenSSL to a directory of its own.
func libraries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"libssl.so.3", "libcrypto.so.3"} {
		found, err := filepath.Glob("/usr/lib/*-linux-gnu/" + name)
		if err != nil || len(found) == 0 {
			t.Skipf("%s is not installed", name)
		}
		copyFile(t, found[0], filepath.Join(dir, name))
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A library that was upgraded while a process runs: the old file has no name
// any more.
func TestUpgradedLibrary(t *testing.T) {
	need(t, "python3", "curl")
	dir := libraries(t)
	pem := certificate(t)
	port, _ := serve(t, "env", "LD_LIBRARY_PATH="+dir, "python3", "-c", pythonServer, pem)
	for _, name := range []string{"libssl.so.3", "libcrypto.so.3"} {
		old := filepath.Join(dir, name)
		copyFile(t, old, old+".new")
		if err := os.Rename(old+".new", old); err != nil {
			t.Fatal(err)
		}
	}
	b := begin(t)
	if !b.uses(dir) {
		t.Errorf("the old library is not attached: %v", b.source.Processes())
	}
	const n = 5
	run(t, "curl", append([]string{"-s", "--cacert", pem}, urls(port, n)...)...)
	all := b.end()
	wantRequests(t, "old library", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
	samePlaintext(t, all, port)
}

// A library that is loaded long after the program began.
func TestLateLibrary(t *testing.T) {
	need(t, "python3", "curl")
	dir := libraries(t)
	pem := certificate(t)
	b := begin(t)
	port, _ := serve(t, "env", "LD_LIBRARY_PATH="+dir, "python3", "-c", "import time; time.sleep(0.5)\n"+pythonServer, pem)
	for range 100 {
		if b.uses(dir) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !b.uses(dir) {
		t.Errorf("the late library is not attached: %v", b.source.Processes())
	}
	const n = 5
	run(t, "curl", append([]string{"-s", "--cacert", pem}, urls(port, n)...)...)
	all := b.end()
	wantRequests(t, "late library", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "hello from /r", n)
	samePlaintext(t, all, port)
}

// uses tells whether a process with a file below a directory is attached.
func (b *bench) uses(dir string) bool {
	for _, p := range b.source.Processes() {
		if p.Attached && strings.HasPrefix(p.File, dir) {
			return true
		}
	}
	return false
}

// A container has its own files and its own pids.
func TestContainer(t *testing.T) {
	need(t, "unshare", "curl")
	peer := build(t, "local", "-ldflags=-s -w")
	pem := certificate(t)
	script := fmt.Sprintf("mount -t tmpfs none /mnt && cp %s %s /mnt/ && exec /mnt/gopeer serve /mnt/pem", peer, pem)
	if out, err := exec.Command("unshare", "-mpf", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces here: %s", out)
	}
	port, _ := serve(t, "unshare", "-mpf", "--kill-child", "sh", "-c", script)
	b := begin(t)
	if !b.uses("/mnt/gopeer") {
		t.Errorf("the process in the container is not attached: %v", b.source.Processes())
	}
	const n = 5
	run(t, "curl", append([]string{"-s", "--http1.1", "--cacert", pem}, urls(port, n)...)...)
	all := b.end()
	wantRequests(t, "container", on(all, port, record.Incoming), "GET /r%dx HTTP/1.1\r\n", "answer to /r", n)
	samePlaintext(t, all, port)
}

// Probes leave a file that nobody maps any more, and the socket door shuts.
func TestDetach(t *testing.T) {
	pem := certificate(t)
	peer := build(t, "local")
	cmd := exec.Command(peer, "serve", pem)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shared := liveSockets(t)
	s, err := New(&config.Config{}, shared, Output{}, ledger.New(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Skipf("this kernel does not open it: %v", err)
	}
	defer s.Close()
	id, _, err := executable.Identify(peer)
	if err != nil {
		t.Fatal(err)
	}
	if f := s.found.files.all[id]; f == nil || !f.attached() || s.k.sockets == nil {
		t.Fatalf("not attached: %+v", f)
	}
	cmd.Process.Kill()
	cmd.Wait()
	s.found.lookAtAll()
	s.found.files.detachUnused(time.Now())
	if f := s.found.files.all[id]; f == nil || !f.attached() {
		t.Error("the probes left at once: the next short run would not be seen")
	}
	s.found.files.detachUnused(time.Now().Add(2 * keepUnused))
	if f := s.found.files.all[id]; f != nil {
		t.Error("the probes are still there")
	}
}
