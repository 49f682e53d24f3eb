package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

const serverAddr = netlab.ServerIP + ":9000"

// of returns the netflow rows of both ends of a pair with the tags.
func of(p netlab.Pair, rows collector.Rows, tags ...string) ends {
	return measured("netflow", p, rows, tags...)
}

// measured returns the rows of a measurement of both ends of a pair that have
// the tags and fields.
func measured(name string, p netlab.Pair, rows collector.Rows, pairs ...string) ends {
	rows = rows.Where("source", name).Where(pairs...)
	return ends{client: rows.Where("netns", p.Client.Tag), server: rows.Where("netns", p.Server.Tag)}
}

// startNginx serves a file of 10,000 bytes at /file and logs, for each
// request, the bytes it sent and got. It returns the path of that log.
func startNginx(t *testing.T, ns *netlab.Namespace, addr string) string {
	t.Helper()
	dir := t.TempDir()
	conf := strings.ReplaceAll(`
daemon off; user root; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 512; }
http {
  log_format count '$bytes_sent $request_length';
  access_log DIR/access.log count;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;
  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  server { listen ADDR; root DIR; }
}`, "DIR", dir)
	conf = strings.ReplaceAll(conf, "ADDR", addr)
	write(t, filepath.Join(dir, "nginx.conf"), conf)
	write(t, filepath.Join(dir, "file"), strings.Repeat("x", 10_000))
	cmd := exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	// SIGKILL would orphan the worker.
	ns.Start(t, cmd)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	ns.AwaitListener(t, addr)
	return filepath.Join(dir, "access.log")
}

// nginxCounts adds up what nginx sent and got in n requests; its log line may
// come after the client has its answer.
func nginxCounts(t *testing.T, log string, n int) (sent, got int64) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") >= n {
			return addUp(t, string(text))
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx logged less than %d requests: %s", n, text)
		}
	}
}

func addUp(t *testing.T, log string) (sent, got int64) {
	t.Helper()
	for line := range strings.Lines(log) {
		var s, g int64
		if _, err := fmt.Sscan(line, &s, &g); err != nil {
			t.Fatalf("nginx log %q: %v", line, err)
		}
		sent, got = sent+s, got+g
	}
	return sent, got
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// serveEcho sends back what each connection sends, until the test ends.
func serveEcho(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// converse sends n bytes and reads as many back.
func converse(t *testing.T, c net.Conn, n int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatalf("send: %v", err)
	}
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		t.Fatalf("receive: %v", err)
	}
}

// echoOnce connects with plain blocking system calls, which cost less than
// Go's poller on a locked thread, sends n bytes, reads them back and closes.
func echoOnce(to netip.AddrPort, n int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	buf := make([]byte, n)
	if _, err := syscall.Write(fd, buf); err != nil {
		return err
	}
	for got := 0; got < n; {
		k, err := syscall.Read(fd, buf)
		if err == nil && k == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read after %d bytes: %w", got, err)
		}
		got += k
	}
	return nil
}
