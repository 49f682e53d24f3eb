package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// A server that accepts in the parent and forks a child for each connection:
// the rows are the child's.
func TestForkPerConnection(t *testing.T) {
	needs(t, "perl")
	p := netlab.NewPair(t)
	server := exec.Command("perl", "-e", forkServer, netlab.ServerIP, "9000")
	p.Server.Start(t, server)
	awaitSocket(t, p.Server)
	c := start(t)
	workers := map[string]bool{}
	for range 5 {
		conn := p.Client.Dial(t, "tcp", serverAddr)
		conn.Write([]byte("who"))
		var pid int
		if _, err := fmt.Fscan(conn, &pid); err != nil {
			t.Fatal(err)
		}
		// The parent must have let go of the socket, or it is the one that closes it.
		time.Sleep(100 * time.Millisecond)
		conn.Close()
		workers[strconv.Itoa(pid)] = true
	}
	settle(t, p)
	e := of(p, c.Stop(t), "server_port", "9000")
	e.sums(t, "tcp_closed", 5, 5)
	for _, r := range e.server {
		equal(t, "process_name", r.Tags["process_name"], "worker")
		if pid := r.Tags["pid"]; !workers[pid] {
			t.Errorf("pid %s served nobody; the parent is %d, the workers are %v", pid, server.Process.Pid, workers)
		}
		delete(workers, r.Tags["pid"])
	}
	equal(t, "workers without a row", len(workers), 0)
}

// The same while the connection lasts: the next rows are the child's, which is
// seen to hold the socket.
func TestLiveWorker(t *testing.T) {
	needs(t, "perl")
	p := netlab.NewPair(t)
	p.Server.Start(t, exec.Command("perl", "-e", forkServer, netlab.ServerIP, "9000"))
	awaitSocket(t, p.Server)
	c := start(t, "--interval", "1s")
	conn := p.Client.Dial(t, "tcp", serverAddr)
	conn.Write([]byte("who"))
	var pid int
	if _, err := fmt.Fscan(conn, &pid); err != nil {
		t.Fatal(err)
	}
	rows := c.Await(t, 10*time.Second, func(rs collector.Rows) bool {
		return of(p, rs).server.Sum("bytes_read") == 3
	})
	served := of(p, rows).server.Where("pid", strconv.Itoa(pid), "process_name", "worker", "direction", "incoming")
	equal(t, "bytes_read by the worker", served.Sum("bytes_read"), 3)
	conn.Close()
	settle(t, p)
	of(p, c.Stop(t)).sums(t, "tcp_closed", 1, 1)
}

const forkServer = `
use IO::Socket::INET;
$0 = "parent"; $SIG{CHLD} = "IGNORE";
my $l = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => $ARGV[1], Listen => 64, ReuseAddr => 1) or die;
while (my $c = $l->accept) {
	if (fork == 0) {
		$0 = "worker";
		close $l;
		sysread $c, my $question, 64;
		syswrite $c, "$$\n";
		sysread $c, $question, 64; # until the client has closed
		close $c;
		exit;
	}
	close $c;
}`
