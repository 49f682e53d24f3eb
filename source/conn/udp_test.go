package conn

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"weft/probe"
	"weft/record"
)

func enableStats(t *testing.T) io.Closer {
	t.Helper()
	c, err := probe.EnableRunStats()
	if err != nil {
		t.Skipf("no run statistics here: %v", err)
	}
	return c
}

// runs is how often the source's programs ran.
func (b *bench) runs(t *testing.T) uint64 {
	t.Helper()
	var sum uint64
	for _, o := range []opened{b.source.k.tcp, b.source.k.udp} {
		for name, p := range o.programs {
			n, _, err := probe.Program{Name: name, Prog: p}.Runs()
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// Every UDP door must count datagrams and bytes of both sides exactly.
func TestEveryUDPDoorCountsExactly(t *testing.T) {
	for _, d := range udpDoors() {
		t.Run(d.name, func(t *testing.T) {
			holdUDP(t)
			b := begin(t, testConfig(), nil, []door{d})
			t4 := udpEcho(t, "udp4", "127.0.0.1:0")
			t6 := udpEcho(t, "udp6", "[::1]:0")
			mapped := udpEcho(t, "udp", "[::]:0")
			connected(t, "udp4", t4)
			connected(t, "udp6", t6)
			connected(t, "udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: mapped.Port})
			unconnected(t, "udp4", t4)
			unconnected(t, "udp6", t6)
			settle()
			rows := b.end()
			missed := b.dropped("conn.flows", "program_missed")
			checkUDP(t, "IPv4", rows, t4.Port, 2*rounds, missed)
			checkUDP(t, "IPv6", rows, t6.Port, 2*rounds, missed)
			checkUDP(t, "v4-mapped", rows, mapped.Port, rounds, missed)
		})
	}
}

const rounds, askSize, replySize = 100, 64, 48

// udpEcho answers each datagram of askSize with replySize bytes.
func udpEcho(t *testing.T, network, addr string) *net.UDPAddr {
	t.Helper()
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:replySize], from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr)
}

func connected(t *testing.T, network string, to *net.UDPAddr) {
	t.Helper()
	c, err := net.DialUDP(network, nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	for range rounds {
		c.Write(make([]byte, askSize))
		if _, err := c.Read(make([]byte, 2048)); err != nil {
			t.Fatal(err)
		}
	}
}

func unconnected(t *testing.T, network string, to *net.UDPAddr) {
	t.Helper()
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	for range rounds {
		c.WriteTo(make([]byte, askSize), to)
		if _, _, err := c.ReadFrom(make([]byte, 2048)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkUDP wants every datagram, but for those that the kernel ran no program
// for and that are counted so.
func checkUDP(t *testing.T, what string, rows []*record.Netflow, port int, want, missed int64) {
	t.Helper()
	for side, match := range map[string]func(*record.Netflow) bool{"client": client(port), "server": server(port)} {
		got := total(rows, match)
		in, out := int64(replySize), int64(askSize)
		if side == "server" {
			in, out = out, in
		}
		for _, n := range []int64{got.PacketsRead, got.PacketsWritten} {
			if n > want || n < want-missed {
				t.Errorf("%s %s: %d datagrams in, %d out, want %d (%d missed)",
					what, side, got.PacketsRead, got.PacketsWritten, want, missed)
			}
		}
		if got.BytesRead != got.PacketsRead*in || got.BytesWritten != got.PacketsWritten*out {
			t.Errorf("%s %s: read %d wrote %d in %d and %d datagrams of %d and %d bytes", what, side,
				got.BytesRead, got.BytesWritten, got.PacketsRead, got.PacketsWritten, in, out)
		}
		if got.PID != uint32(os.Getpid()) || got.Transport != record.UDP || got.Src.Is6() != (what == "IPv6") {
			t.Errorf("%s %s: %+v", what, side, got.FlowKey)
		}
	}
}

// A peek delivers nothing, a cut datagram delivers what fits, an empty one is
// a datagram without bytes.
func TestUDPCountsWhatWasDelivered(t *testing.T) {
	for _, d := range udpDoors() {
		t.Run(d.name, func(t *testing.T) {
			holdUDP(t)
			b := begin(t, testConfig(), nil, []door{d})
			sv, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer sv.Close()
			port := portOf(sv.LocalAddr())
			c, err := net.DialUDP("udp4", nil, sv.LocalAddr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write(make([]byte, 500))
			c.Write(nil)
			peek(t, sv)
			sv.ReadFrom(make([]byte, 100)) // cuts 500 to 100
			sv.ReadFrom(make([]byte, 100))
			settle()
			rows := b.end()
			got := total(rows, server(port))
			if got.BytesRead != 100 || got.PacketsRead != 2 {
				t.Errorf("server: %d bytes in %d datagrams, want 100 in 2", got.BytesRead, got.PacketsRead)
			}
			if got := total(rows, client(port)); got.BytesWritten != 500 || got.PacketsWritten != 2 {
				t.Errorf("client: %d bytes in %d datagrams, want 500 in 2", got.BytesWritten, got.PacketsWritten)
			}
		})
	}
}

func peek(t *testing.T, c *net.UDPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1000), syscall.MSG_PEEK)
		return err == nil && n == 500
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One socket with many peers gives a row for each.
func TestUDPManyPeers(t *testing.T) {
	holdUDP(t)
	b := begin(t, testConfig(), nil, nil)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const peers = 40
	for i := range peers {
		for range 3 {
			c.WriteTo(make([]byte, 10+i), &net.UDPAddr{IP: net.IPv4(127, 0, 1, byte(1+i)), Port: 9})
		}
	}
	settle()
	seen := map[string]int64{}
	for _, r := range b.end() {
		if r.Transport == record.UDP && r.DstPort == 9 && r.PID == uint32(os.Getpid()) {
			seen[r.Dst.String()] += r.BytesWritten
		}
	}
	if len(seen) != peers {
		t.Fatalf("%d peers seen, want %d", len(seen), peers)
	}
	for i := range peers {
		addr := net.IPv4(127, 0, 1, byte(1+i)).String()
		if want := int64(3 * (10 + i)); seen[addr] != want {
			t.Errorf("%s: %d bytes, want %d", addr, seen[addr], want)
		}
	}
}

// holdUDP keeps the shared UDP door open: it closes without any UDP socket.
func holdUDP(t *testing.T) {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

// Without a UDP socket the shared door closes; the first one opens it again.
func TestSharedUDPDoorClosesWhenIdle(t *testing.T) {
	b := begin(t, testConfig(), nil, udpDoors()[2:])
	time.Sleep(500 * time.Millisecond)
	if n, err := b.source.k.udpSockets(b.source.walks); err != nil || n > 0 {
		t.Skipf("%d UDP sockets of other processes keep the door open (%v)", n, err)
	}
	stats := enableStats(t)
	defer stats.Close()
	l := listen(t, "tcp", "127.0.0.1:0")
	go answer(l, 1<<30, 0)
	c := dial(t, "tcp", l.Addr().String())
	defer c.Close()
	before := b.udpRuns(t)
	for range 500 {
		c.Write(make([]byte, 10))
	}
	if after := b.udpRuns(t); after != before {
		t.Errorf("the closed door ran %d times for TCP", after-before)
	}
	echo := udpEcho(t, "udp4", "127.0.0.1:0")
	time.Sleep(200 * time.Millisecond)
	connected(t, "udp4", echo)
	settle()
	checkUDP(t, "IPv4", b.end(), echo.Port, rounds, 0)
	if b.dropped("conn.sockets", "udp_door_opening") == 0 {
		t.Error("the socket that opened the door is not counted")
	}
}

func (b *bench) udpRuns(t *testing.T) uint64 {
	t.Helper()
	var sum uint64
	for _, name := range shared() {
		n, _, err := probe.Program{Name: name, Prog: b.source.k.udp.programs[name]}.Runs()
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
