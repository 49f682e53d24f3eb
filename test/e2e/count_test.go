package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/test/e2e/netlab"
)

// Every one of many short connections is counted, on both ends, with every
// byte. `make bench` does the same with 100,000.
func TestManyConnections(t *testing.T) {
	needs(t)
	const connections, workers, size = 20_000, 4, 64
	p := netlab.NewPair(t)
	p.Client.Sysctl(t, "ipv4/ip_local_port_range", "1024 65000") // closed ones wait a minute
	serveEcho(p.Server.Listen(t, "tcp4", serverAddr))
	c := start(t)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			p.Client.Do(func() {
				for range connections / workers {
					if err := echoOnce(netip.MustParseAddrPort(serverAddr), size); err != nil {
						t.Error(err)
						return
					}
				}
			})
		})
	}
	wg.Wait()
	settle(t, p)
	e := of(p, c.Stop(t), "transport", "tcp", "server_port", "9000", "pid", strconv.Itoa(os.Getpid()))
	e.sums(t, "tcp_established", connections, connections)
	e.sums(t, "tcp_closed", connections, connections)
	e.sums(t, "tcp_connect_failed", 0, 0)
	e.sums(t, "bytes_written", connections*size, connections*size)
	e.sums(t, "bytes_read", connections*size, connections*size)
	equal(t, "client's rows that are outgoing", len(e.client.Where("direction", "outgoing")), len(e.client))
	equal(t, "server's rows that are incoming", len(e.server.Where("direction", "incoming")), len(e.server))
}

// iperfReport is what we read of iperf3's JSON.
type iperfReport struct {
	Start struct {
		Connected []struct {
			LocalPort  int `json:"local_port"`
			RemotePort int `json:"remote_port"`
		}
	}
	End struct {
		Sent     struct{ Bytes int64 } `json:"sum_sent"`
		Received struct{ Bytes int64 } `json:"sum_received"`
	}
}

// One fat connection: bytes equal iperf3's own count, plus the cookie of 37
// bytes that begins each of its connections.
func TestIperf3(t *testing.T) {
	needs(t, "iperf3")
	const cookie = 37
	p := netlab.NewPair(t)
	server := exec.Command("iperf3", "-s", "-1", "-J", "-B", netlab.ServerIP, "-p", "9000")
	var serverOut strings.Builder
	server.Stdout = &serverOut
	p.Server.Start(t, server)
	c := start(t, "--ephemeral-port", "65535") // rows with the client's port
	awaitSocket(t, p.Server)
	var sent, received iperfReport
	out := p.Client.Output(t, "iperf3", "-c", netlab.ServerIP, "-p", "9000", "-t", "2", "-J")
	server.Wait()
	for text, report := range map[string]*iperfReport{out: &sent, serverOut.String(): &received} {
		if err := json.Unmarshal([]byte(text), report); err != nil {
			t.Fatalf("iperf3: %v: %s", err, text)
		}
	}
	settle(t, p)
	port := strconv.Itoa(sent.Start.Connected[0].LocalPort)
	e := of(p, c.Stop(t), "client_port", port, "process_name", "iperf3")
	e.sums(t, "tcp_closed", 1, 1)
	equal(t, "client's bytes_written", e.client.Sum("bytes_written"), sent.End.Sent.Bytes+cookie)
	equal(t, "server's bytes_read", e.server.Sum("bytes_read"), received.End.Received.Bytes+cookie)
}

// awaitSocket waits for a listener on port 9000 without connecting to it.
func awaitSocket(t *testing.T, ns *netlab.Namespace) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ns.Output(t, "ss", "-Hltn", "sport", "=", ":9000") == ""; {
		if time.Now().After(deadline) {
			t.Fatal("nothing listens on port 9000")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// What reached the host but was never read by the process is not read.
func TestUnreadBytes(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	l := p.Server.Listen(t, "tcp4", serverAddr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.ReadFull(conn, make([]byte, 1000))
		time.Sleep(200 * time.Millisecond) // until all has come
		conn.Close()
	}()
	c := start(t)
	conn := p.Client.Dial(t, "tcp", serverAddr)
	conn.Write(make([]byte, 5000))
	<-done
	conn.Close()
	settle(t, p)
	of(p, c.Stop(t)).sums(t, "bytes_read", 0, 1000)
}

// UDP: one server socket and several peers, each datagram answered by one of
// another size. Each peer is a row of its own.
func TestUDP(t *testing.T) {
	needs(t)
	const ask, answer = 100, 210
	asked := map[string]int{"40001": 3000, "40002": 2000, "40003": 1}
	p := netlab.NewPair(t)
	serveUDP(t, p.Server, answer)
	c := start(t, "--ephemeral-port", "65535")
	for port, n := range asked {
		askUDP(t, p.Client, port, n, ask)
	}
	rows := c.Stop(t)
	for port, n := range asked {
		e := of(p, rows, "transport", "udp", "client_port", port, "server_port", "9000")
		n := int64(n)
		e.sums(t, "packets_written", n, n)
		e.sums(t, "packets_read", n, n)
		e.sums(t, "bytes_written", n*ask, n*answer)
		e.sums(t, "bytes_read", n*answer, n*ask)
		equal(t, "rows of the client end", len(e.client), 1)
		equal(t, "rows of the server end", len(e.server), 1)
	}
	for _, r := range rows.Where("transport", "udp") {
		if _, has := r.Fields["tcp_established"]; has {
			t.Errorf("a UDP row has TCP fields: %v", r)
		}
	}
}

// serveUDP answers every datagram with n bytes, from one unconnected socket.
func serveUDP(t *testing.T, ns *netlab.Namespace, n int) {
	t.Helper()
	var conn net.PacketConn
	var err error
	ns.Do(func() { conn, err = net.ListenPacket("udp4", serverAddr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(buf[:n], from)
		}
	}()
}

// askUDP sends n datagrams from a connected socket on the port and waits for
// the answer to each.
func askUDP(t *testing.T, ns *netlab.Namespace, port string, n, size int) {
	t.Helper()
	local := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(netlab.ClientIP + ":" + port))
	var conn net.Conn
	var err error
	ns.Do(func() {
		conn, err = (&net.Dialer{LocalAddr: local}).Dial("udp4", serverAddr)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2048)
	for i := range n {
		if _, err = conn.Write(buf[:size]); err == nil {
			_, err = conn.Read(buf)
		}
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
}
