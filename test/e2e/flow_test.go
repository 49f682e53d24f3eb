package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
)

// What a newcomer does first: curl something, see it, within the interval.
func TestCurlToNginx(t *testing.T) {
	needs(t, "curl", "nginx")
	p := netlab.NewPair(t)
	log := startNginx(t, p.Server, serverAddr)
	c := start(t, "--interval", "1s")

	out := p.Client.Output(t, "curl", "-s", "-o", "/dev/null", "-w", "%{size_request} %{size_header} %{size_download}",
		"http://"+serverAddr+"/file")
	done := time.Now()
	var request, header, body int64
	if _, err := fmt.Sscan(out, &request, &header, &body); err != nil {
		t.Fatal(err)
	}
	rows := c.Await(t, 10*time.Second, func(rs collector.Rows) bool {
		e := of(p, rs)
		return e.client.Sum("tcp_closed") == 1 && e.server.Sum("tcp_closed") == 1
	})
	e := of(p, rows, "transport", "tcp")
	last := rows[len(rows)-1]
	if late := last.Seen.Sub(done); late > 2*time.Second {
		t.Errorf("seen %v after it was done, at an interval of 1s", late)
	}
	sent, got := nginxCounts(t, log, 1)
	equal(t, "nginx sent what curl got", sent, header+body)
	e.sums(t, "bytes_read", header+body, got)
	e.sums(t, "bytes_written", request, sent)
	e.sums(t, "tcp_established", 1, 1)
	checkCurlTags(t, e)
}

func checkCurlTags(t *testing.T, e ends) {
	t.Helper()
	both := map[string]string{
		"source": "netflow", "family": "IPv4", "transport": "tcp", "client_ip": netlab.ClientIP, "client_port": "*",
		"server_ip": netlab.ServerIP, "server_port": "9000", "service": "ebpf",
	}
	for name, want := range both {
		equal(t, "client's "+name, e.client[0].Tags[name], want)
		equal(t, "server's "+name, e.server[0].Tags[name], want)
	}
	for name, want := range map[string][2]string{
		"process_name": {"curl", "nginx"}, "direction": {"outgoing", "incoming"}, "conn_side": {"client", "server"},
		"src_ip": {netlab.ClientIP, netlab.ServerIP}, "dst_ip": {netlab.ServerIP, netlab.ClientIP},
		"src_port": {"*", "9000"}, "dst_port": {"9000", "*"},
	} {
		equal(t, "client's "+name, e.client[0].Tags[name], want[0])
		equal(t, "server's "+name, e.server[0].Tags[name], want[1])
	}
	if e.client[0].Field("rtt") <= 0 || e.client[0].Field("connect_latency") <= 0 {
		t.Errorf("no rtt or connect_latency: %v", e.client)
	}
}

func TestIPv6(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	l := p.Server.Listen(t, "tcp6", "["+netlab.ServerIP6+"]:9000")
	serveEcho(l)
	c := start(t)
	conn := p.Client.Dial(t, "tcp6", "["+netlab.ServerIP6+"]:9000")
	converse(t, conn, 600)
	conn.Close()
	settle(t, p)
	e := of(p, c.Stop(t), "family", "IPv6", "client_ip", netlab.ClientIP6, "server_ip", netlab.ServerIP6)
	e.sums(t, "bytes_written", 600, 600)
	e.sums(t, "tcp_closed", 1, 1)
}

// Both ends use IPv6 sockets, the packets are IPv4: rows are plain IPv4.
func TestV4Mapped(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", ":9000"))
	c := start(t)
	var err error
	p.Client.Do(func() { err = mappedEcho([4]byte{198, 18, 0, 2}, 9000, 500) })
	if err != nil {
		t.Fatal(err)
	}
	settle(t, p)
	e := of(p, c.Stop(t), "family", "IPv4", "client_ip", netlab.ClientIP, "server_ip", netlab.ServerIP)
	e.sums(t, "bytes_read", 500, 500)
	e.sums(t, "bytes_written", 500, 500)
	e.sums(t, "tcp_closed", 1, 1)
}

func mappedEcho(ip [4]byte, port, n int) error {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	to := &syscall.SockaddrInet6{Port: port, Addr: [16]byte{10: 0xff, 11: 0xff}}
	copy(to.Addr[12:], ip[:])
	if err := syscall.Connect(fd, to); err != nil {
		return err
	}
	if _, err := syscall.Write(fd, make([]byte, n)); err != nil {
		return err
	}
	if k, err := syscall.Read(fd, make([]byte, n)); err != nil || k != n {
		return fmt.Errorf("read %d bytes: %w", k, err)
	}
	return nil
}

func TestRefusedConnect(t *testing.T) {
	needs(t, "curl")
	p := netlab.NewPair(t)
	c := start(t)
	p.Client.Output(t, "sh", "-c", "curl -s http://"+serverAddr+"/; test $? = 7")
	rows := c.Stop(t).Where("netns", p.Client.Tag, "process_name", "curl", "direction", "outgoing", "dst_port", "9000")
	equal(t, "tcp_connect_failed", rows.Sum("tcp_connect_failed"), 1)
	equal(t, "tcp_established", rows.Sum("tcp_established"), 0)
	if len(rows) > 0 {
		equal(t, "connect_error", rows[0].Tags["connect_error"], "ECONNREFUSED")
	}
}

// A connection that is older than the collector has its process and direction,
// and only what flows from now on is counted.
func TestOlderConnection(t *testing.T) {
	needs(t, "nginx")
	p := netlab.NewPair(t)
	log := startNginx(t, p.Server, serverAddr)
	conn := p.Client.Dial(t, "tcp", serverAddr)
	request := "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
	ask := func() int64 {
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte(request))
		n, err := conn.Read(make([]byte, 4096))
		if err != nil {
			t.Fatal(err)
		}
		return int64(n)
	}
	ask()
	sentBefore, gotBefore := nginxCounts(t, log, 1)
	c := start(t)
	answers := ask() + ask()
	sent, got := nginxCounts(t, log, 3)
	e := of(p, c.Stop(t), "client_ip", netlab.ClientIP, "server_port", "9000")
	e.sums(t, "bytes_written", 2*int64(len(request)), sent-sentBefore)
	e.sums(t, "bytes_read", answers, got-gotBefore)
	e.sums(t, "tcp_closed", 0, 0)
	if len(e.client) == 0 || len(e.server) == 0 {
		t.Fatal("no rows")
	}
	equal(t, "server's process", e.server[0].Tags["process_name"], "nginx")
	equal(t, "server's direction", e.server[0].Tags["direction"], "incoming")
	equal(t, "client's pid", e.client[0].Tags["pid"], strconv.Itoa(os.Getpid()))
	equal(t, "client's direction", e.client[0].Tags["direction"], "outgoing")
}

// A process that is gone before the interval ends keeps its name.
func TestShortLivedProcess(t *testing.T) {
	needs(t, "bash")
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	c := start(t)
	cmd := exec.Command("bash", "-c", "exec 3<>/dev/tcp/198.18.0.2/9000; printf hello >&3")
	p.Client.Start(t, cmd)
	cmd.Wait()
	settle(t, p)
	rows := c.Stop(t).Where("netns", p.Client.Tag, "process_name", "bash", "pid", strconv.Itoa(cmd.Process.Pid))
	equal(t, "bytes_written", rows.Sum("bytes_written"), 5)
	equal(t, "tcp_established", rows.Sum("tcp_established"), 1)
}

// The same for one datagram, from a process and a socket that are gone at once.
func TestShortLivedUDP(t *testing.T) {
	needs(t, "bash")
	p := netlab.NewPair(t)
	serveUDP(t, p.Server, 20)
	c := start(t)
	cmd := exec.Command("bash", "-c", "printf hello >/dev/udp/198.18.0.2/9000")
	p.Client.Start(t, cmd)
	cmd.Wait()
	time.Sleep(50 * time.Millisecond) // the answer finds nobody
	rows := c.Stop(t).Where("transport", "udp", "server_port", "9000")
	sent := rows.Where("netns", p.Client.Tag, "process_name", "bash", "pid", strconv.Itoa(cmd.Process.Pid))
	equal(t, "bytes_written", sent.Sum("bytes_written"), 5)
	equal(t, "packets_written", sent.Sum("packets_written"), 1)
	equal(t, "the server's bytes_read", rows.Where("netns", p.Server.Tag).Sum("bytes_read"), 5)
	equal(t, "the server's direction", len(rows.Where("netns", p.Server.Tag, "direction", "incoming")), 1)
}

// A UDP socket that is older than the collector has its process and direction.
func TestOlderUDP(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveUDP(t, p.Server, 20)
	c := start(t)
	askUDP(t, p.Client, "40001", 3, 30)
	e := of(p, c.Stop(t), "transport", "udp", "client_ip", netlab.ClientIP, "server_port", "9000",
		"pid", strconv.Itoa(os.Getpid()))
	e.sums(t, "packets_read", 3, 3)
	equal(t, "client rows that are outgoing", len(e.client.Where("direction", "outgoing")), 1)
	equal(t, "server rows that are incoming", len(e.server.Where("direction", "incoming")), 1)
}

// settle gives both ends the time to see the connection closed.
func settle(t *testing.T, p netlab.Pair) {
	t.Helper()
	open := func(ns *netlab.Namespace) string {
		return ns.Output(t, "ss", "-Htn", "state", "connected", "exclude", "time-wait", "exclude", "syn-recv")
	}
	for deadline := time.Now().Add(3 * time.Second); open(p.Client) != "" || open(p.Server) != ""; {
		if time.Now().After(deadline) {
			t.Logf("still open: %s%s", open(p.Client), open(p.Server))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
