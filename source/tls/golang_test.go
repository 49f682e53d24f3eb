package tls

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/protocol"
	"weft/record"
)

// build compiles testdata/gopeer. Another toolchain than ours is taken when the
// module proxy has it here.
func build(t *testing.T, toolchain string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, err := os.ReadFile("testdata/gopeer/main.go")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "main.go"), src, 0o600)
	os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module gopeer\n\ngo 1.17\n"), 0o600)
	cmd := exec.Command("go", append([]string{"build", "-o", "gopeer"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOFLAGS=-mod=mod", "GOWORK=off")
	if !strings.Contains(strings.Join(args, " "), "external") {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		if toolchain != "local" {
			t.Skipf("toolchain %s is not to be had: %s", toolchain, out)
		}
		t.Skipf("this Go cannot build it: %s", out)
	}
	return filepath.Join(dir, "gopeer")
}

// client starts a program that waits for a line, so that it can be found first.
func client(t *testing.T, b *bench, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = testLog{t}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.await(cmd.Process.Pid)
	fmt.Fprintln(in)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// dialog is a program that does a step for each line and then says so.
type dialog struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

func talk(t *testing.T, name string, args ...string) *dialog {
	t.Helper()
	d := &dialog{t: t, cmd: exec.Command(name, args...)}
	d.cmd.Stderr = testLog{t}
	in, err := d.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.in, d.out = in, bufio.NewScanner(out)
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	return d
}

// step has the program do one thing and waits for it.
func (d *dialog) step() {
	d.t.Helper()
	fmt.Fprintln(d.in)
	if !d.out.Scan() {
		d.t.Fatal("the peer ended")
	}
}

// end lets the program end by itself.
func (d *dialog) end() {
	d.in.Close()
	d.cmd.Wait()
}

// await waits until a process is attached, at most five seconds.
func (b *bench) await(pid int) {
	for range 100 {
		for _, p := range b.source.Processes() {
			if p.PID == pid && p.Attached {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Errorf("process %d was not attached: %v", pid, b.source.Processes())
}

func TestGo(t *testing.T) {
	pem := certificate(t)
	for _, v := range []struct {
		name, toolchain string
		args            []string
	}{
		{"plain", "local", nil},
		{"stripped", "local", []string{"-ldflags=-s -w"}},
		{"PIE", "local", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"static PIE", "local", []string{"-buildmode=pie", "-ldflags=-s -w -linkmode=external -extldflags=-static-pie"}},
		{"cgo", "local", []string{"-ldflags=-s -w -linkmode=external"}},
		{"1.17", "go1.17.13", []string{"-ldflags=-s -w"}},
		{"1.20 PIE", "go1.20.14", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"1.24", "go1.24.4", []string{"-ldflags=-s -w"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			peer := build(t, v.toolchain, v.args...)
			port, _ := serve(t, peer, "serve", pem)
			b := begin(t)
			url := fmt.Sprintf("https://127.0.0.1:%d", port)
			const n = 40
			client(t, b, peer, "get", url, "1.1", fmt.Sprint(n))
			client(t, b, peer, "get", strings.Replace(url, "https", "https", 1)+"/tls12", "1.2", fmt.Sprint(n))
			client(t, b, peer, "get", url+"/h2", "2", fmt.Sprint(n))
			client(t, b, peer, "raw", fmt.Sprintf("127.0.0.1:%d", port))
			all := b.end()
			for _, d := range []record.Direction{record.Outgoing, record.Incoming} {
				conns := on(all, port, d)
				var h1, h12, h2, rest []*plaintext
				for _, p := range conns {
					switch c := p.sides[protocol.Client]; {
					case bytes.HasPrefix(c, []byte("PRI * HTTP/2.0")):
						h2 = append(h2, p)
					case bytes.HasPrefix(c, []byte("POST /tls12")):
						h12 = append(h12, p)
					case bytes.HasPrefix(c, []byte("POST ")):
						h1 = append(h1, p)
					default:
						rest = append(rest, p)
					}
				}
				wantRequests(t, d.String(), h1, "POST /r%dx HTTP/1.1\r\n", "answer to /r", n)
				wantRequests(t, d.String()+" 1.2", h12, "POST /tls12/r%dx HTTP/1.1\r\n", "answer to /tls12/r", n)
				wantRequests(t, d.String()+" h2", h2, "body %d.", "answer to /h2/r", n)
				wantRequests(t, d.String()+" raw", rest, "GET /r%dx HTTP/1.1\r\n", "answer to /r", 1)
			}
			samePlaintext(t, all, port)
		})
	}
}

// samePlaintext checks that both ends of each connection have the same bytes.
func samePlaintext(t *testing.T, all []*plaintext, port int) {
	t.Helper()
	servers := map[record.Port]*plaintext{}
	for _, p := range on(all, port, record.Incoming) {
		servers[p.info.Flow.DstPort] = p
	}
	clients := on(all, port, record.Outgoing)
	if len(clients) != len(servers) || len(clients) == 0 {
		t.Errorf("%d connections of clients, %d of servers", len(clients), len(servers))
	}
	for _, c := range clients {
		s := servers[c.info.Flow.SrcPort]
		if s == nil {
			t.Errorf("the server's end of %+v was not seen", c.info.Flow)
			continue
		}
		if s.info.UID != c.info.UID || c.info.Joined || s.info.Joined {
			t.Errorf("the ends disagree on the connection: %+v, %+v", c.info, s.info)
		}
		for side := range c.sides {
			// What one end no longer reads (the other's farewell) it does not have.
			n := min(len(c.sides[side]), len(s.sides[side]))
			if c.holes+s.holes == 0 && !bytes.Equal(c.sides[side][:n], s.sides[side][:n]) {
				t.Errorf("%+v: side %d differs between the ends", c.info.Flow, side)
			}
		}
	}
}
