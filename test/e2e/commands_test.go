package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/probe"
	"weft/test/e2e/collector"
	"weft/test/e2e/fakedatakit"
	"weft/test/terminal"
)

// shell is a bash that somebody types into.
func shell(t *testing.T) *terminal.Program {
	t.Helper()
	p, err := terminal.Start(exec.Command("bash", "--norc", "--noprofile", "-i"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if _, err := p.Await(terminal.First); err != nil {
		t.Fatal(err)
	}
	return p
}

func enter(t *testing.T, p *terminal.Program, lines ...string) (said string) {
	t.Helper()
	for _, line := range lines {
		var err error
		if said, err = p.Enter(line, terminal.First); err != nil {
			t.Fatal(err)
		}
	}
	return said
}

// Which connections did this command make? The session ties the command that
// was typed to the programs that it ran and to their flows, though all of them
// have ended when the interval does.
func TestWhichConnections(t *testing.T) {
	needs(t, "bash", "curl")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer web.Close()
	server := fakedatakit.Start(t)
	c := start(t, "--enabled", "ebpf-net,ebpf-bash,ebpf-exec", "--loopback", "--interval", "1h",
		"--sink", "stdout,datakit", "--datakit-apiserver", server.URL())
	one, other := shell(t), shell(t)
	port := web.URL[strings.LastIndex(web.URL, ":")+1:]
	enter(t, one, "curl -s -o /dev/null "+web.URL+"/one", "sh -c 'curl -so /dev/null "+web.URL+"/two; exit 3'")
	enter(t, other, "exec 3<>/dev/tcp/127.0.0.1/"+port+"; exec 3>&-")
	pid := strings.TrimSpace(lastLine(enter(t, one, "curl -so /dev/null "+web.URL+"/three & echo $!; wait $!")))
	one.Close()
	other.Close()
	rows := c.Stop(t)

	typed := rows.Where("pid", one.PID()).Where("source", "bash")
	equal(t, "commands of the one", len(typed), 3)
	session := typed[0].Text("session_id")
	if !strings.HasPrefix(session, one.PID()+"-") {
		t.Errorf("session %q of the shell %s", session, one.PID())
	}
	others := rows.Where("pid", other.PID(), "source", "bash")
	equal(t, "commands of the other", len(others), 1)
	equal(t, "sessions are the same", session == others[0].Text("session_id"), false)
	if f := rows.Where("source", "netflow", "session_id", others[0].Text("session_id"), "dst_port", port); len(f) != 1 {
		t.Errorf("the other bash's own connection has %d rows:\n%v", len(f), f)
	}
	var clients collector.Rows
	for _, r := range rows.Where("source", "netflow", "dst_port", port, "process_name", "curl") {
		clients = append(clients, r)
		equal(t, "session of a flow", r.Text("session_id"), session)
	}
	equal(t, "connections", clients.Sum("tcp_closed"), 3)
	for _, r := range rows.Where("source", "httpflow", "process_name", "curl", "direction", "outgoing") {
		equal(t, "session of an exchange", r.Text("session_id"), session)
	}
	if n := len(rows.Where("source", "httpflow", "session_id", session)); n == 0 {
		t.Error("no exchange is of the session")
	}
	for _, r := range rows.Where("source", "exec", "event", "start", "exe", curlPath(t)) {
		equal(t, "session of a program", r.Text("session_id"), session)
		equal(t, "its terminal", strings.HasPrefix(r.Text("tty"), "pts/"), true)
		flow := clients.Where("pid", r.Text("pid"))
		equal(t, "rows of program "+r.Text("cmd"), len(flow), 1)
	}
	equal(t, "programs named by bash", len(rows.Where("source", "exec", "event", "exit", "pid", pid, "exit_code", "0")), 1)
	script := rows.Where("source", "exec", "event", "exit", "exit_code", "3", "session_id", session)
	equal(t, "scripts", len(script), 1)
	checkLogging(t, server, one.PID())
}

func lastLine(s string) string {
	lines := slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool {
		_, err := strconv.Atoi(strings.TrimSpace(l))
		return err != nil
	})
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

func curlPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// checkLogging looks at what DataKit was sent, and where.
func checkLogging(t *testing.T, server *fakedatakit.Server, pid string) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range server.Requests() {
		for _, p := range r.Points {
			want := map[string]string{
				"bash": "/v1/write/logging?input=ebpf-bash", "exec": "/v1/write/logging?input=ebpf-exec",
			}[p.Name]
			if want == "" {
				continue
			}
			equal(t, "path of "+p.Name, r.Path, want)
			if p.Fields["pid"] == pid {
				seen[p.Name]++
			}
		}
		if !strings.HasSuffix(r.Path, "input=ebpf-bash") {
			continue
		}
		for _, p := range r.Points {
			at, err := time.Parse(time.RFC3339, strings.Fields(p.Fields["message"].(string))[0])
			if err != nil || at.Unix() != time.Unix(0, p.Time).Unix() {
				t.Errorf("message %q of %v", p.Fields["message"], time.Unix(0, p.Time))
			}
			user := "root"
			want := fmt.Sprintf(" pid:`%s` user:`%s` cmd:`%s`", p.Fields["pid"], user, p.Fields["cmd"])
			if os.Getuid() == 0 && !strings.HasSuffix(p.Fields["message"].(string), want) {
				t.Errorf("message %q, want its end to be %q", p.Fields["message"], want)
			}
			equal(t, "tag source", p.Tags["source"], "bash")
		}
	}
	equal(t, "bash points", seen["bash"], 3)
	equal(t, "exec points", seen["exec"], 2)
}

// Secrets do not leave the machine, and what hides them can be changed while
// the collector runs.
func TestSecretsAreHidden(t *testing.T) {
	needs(t)
	c := start(t, "--enabled", "ebpf-exec", "--exec-redact", "default,marzipan", "--interval", "1h")
	for range 3 {
		if err := exec.Command("/bin/sh", "-c", ":", "--password=hunter2", "likes marzipan").Run(); err != nil {
			t.Fatal(err)
		}
	}
	rows := c.Stop(t)
	got := rows.Where("cmd", "/bin/sh -c : --password=*** 'likes ***'")
	equal(t, "rows", len(got), 6)
	if strings.Contains(rows.String(), "hunter2") {
		t.Error("a password was printed")
	}
	equal(t, "flows without ebpf-net", len(rows.Where("source", "netflow")), 0)
}

// A program in a container has the container's id, however short it lives.
func TestContainerOfProgram(t *testing.T) {
	needs(t)
	root, err := probe.Cgroup2Root()
	if err != nil {
		t.Skip(err)
	}
	defer root.Close()
	id := strings.Repeat("0123456789abcdef", 4)
	dir := filepath.Join(root.Name(), "docker-"+id+".scope")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	group, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	c := start(t, "--enabled", "ebpf-exec", "--interval", "1h")
	first := exec.Command("/bin/sh", "-c", "read x; /bin/true inside; exit 0")
	first.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(first.Process.Pid)
	c.Await(t, 10*time.Second, func(rs collector.Rows) bool { return len(rs.Where("pid", pid, "event", "start")) == 1 })
	fmt.Fprintln(in)
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	equal(t, "outside", exec.Command("/bin/true", "outside").Run(), nil)
	rows := c.Stop(t)
	equal(t, "rows of the container", len(rows.Where("container_id", id)), 4)
	equal(t, "rows inside", len(rows.Where("container_id", id, "cmd", "/bin/true inside")), 2)
	equal(t, "rows outside", len(rows.Where("container_id", "", "cmd", "/bin/true outside")), 2)
}

// Without the plugins there is no session in a flow, and no program for it.
func TestNoSessionsUnasked(t *testing.T) {
	needs(t, "bash", "curl")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	c := start(t, "--loopback", "--interval", "1h")
	one := shell(t)
	enter(t, one, "curl -s -o /dev/null "+web.URL)
	for _, r := range c.Stop(t) {
		equal(t, "session_id", r.Text("session_id"), "")
	}
}
