package conn

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/record"
)

// A flow table that is too small loses contributions and counts each of them.
func TestFullFlowTableIsCounted(t *testing.T) {
	cfg := testConfig()
	cfg.Netflow.MaxFlows = 8
	cfg.Netflow.EphemeralPort = 65536 // every client port is a row of its own
	b := begin(t, cfg, nil, nil)
	l := listen(t, "tcp", "127.0.0.1:0")
	go answer(l, 10, 10)
	const conns = 200
	for range conns {
		exchange(t, "tcp", l.Addr().String(), 10, 10)
	}
	settle()
	port := portOf(l.Addr())
	rows := b.end()
	got := total(rows, client(port)).Closed + total(rows, server(port)).Closed
	lost := b.dropped("conn.flows", "flows_full")
	if lost == 0 {
		t.Fatal("nothing was lost: the test does not fill the table")
	}
	// Other processes share the table, so their losses are in the counter too.
	if got+lost < 2*conns {
		t.Errorf("%d closed reported and %d contributions counted as lost, want at least %d", got, lost, 2*conns)
	}
	if bytes := b.dropped("conn.flows", "flows_full_bytes"); bytes < (2*conns-got)*20 {
		t.Errorf("%d bytes counted as lost, want at least %d", bytes, (2*conns-got)*20)
	}
}

// A socket table that is too small is counted when a socket does not fit and
// when it closes unseen.
func TestFullSocketTableIsCounted(t *testing.T) {
	cfg := testConfig()
	cfg.Netflow.MaxSockets = 64
	b := begin(t, cfg, nil, nil)
	l := listen(t, "tcp", "127.0.0.1:0")
	go answer(l, 1, 1)
	const conns = 150
	open := make([]net.Conn, 0, conns)
	for range conns {
		open = append(open, dial(t, "tcp", l.Addr().String()))
	}
	for _, c := range open {
		c.Close()
	}
	settle()
	port := portOf(l.Addr())
	rows := b.end()
	full, untracked := b.dropped("conn.sockets", "socks_full"), b.dropped("conn.sockets", "untracked")
	seen := total(rows, client(port)).Closed + total(rows, server(port)).Closed
	if full == 0 || seen+untracked < 2*conns {
		t.Errorf("socks_full %d; %d closes reported and %d untracked, want %d together", full, seen, untracked, 2*conns)
	}
}

// Sockets of other network namespaces are seen, with their namespace.
func TestOtherNetworkNamespace(t *testing.T) {
	b := begin(t, testConfig(), nil, nil)
	type result struct {
		ns, port int
		err      error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread with the other namespace ends with this goroutine.
		runtime.LockOSThread()
		ns, port, err := talkInNewNetNS()
		done <- result{ns, port, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	settle()
	got := total(b.end(), client(r.port))
	if got.BytesWritten != 5 || got.Closed != 1 {
		t.Errorf("wrote %d closed %d in the other namespace, want 5 and 1", got.BytesWritten, got.Closed)
	}
	if int(got.NetNS) != r.ns || got.NetNS == ownNetNS(t) {
		t.Errorf("netns %d, want %d", got.NetNS, r.ns)
	}
}

func talkInNewNetNS() (ns, port int, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return 0, 0, err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0, 0, err
	}
	if err := loopbackUp(); err != nil {
		return 0, 0, err
	}
	// Plain system calls: the net package would move to other threads.
	sv, port, err := rawListen()
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(sv)
	c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := unix.Connect(c, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	if _, err := unix.Write(c, []byte("hello")); err != nil {
		return 0, 0, err
	}
	if err := unix.Close(c); err != nil {
		return 0, 0, err
	}
	in, _, err := unix.Accept(sv)
	if err != nil {
		return 0, 0, err
	}
	if _, err := unix.Read(in, make([]byte, 5)); err != nil {
		return 0, 0, err
	}
	return int(st.Ino), port, unix.Close(in)
}

func rawListen() (fd, port int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	if err := unix.Listen(fd, 5); err != nil {
		return 0, 0, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, sa.(*unix.SockaddrInet4).Port, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// More live sockets have moved than the flow table has rows: the snapshot takes
// them in parts and loses none.
func TestSnapshotInParts(t *testing.T) {
	cfg := testConfig()
	cfg.Interval = time.Hour
	cfg.Netflow.MaxFlows = 256
	cfg.Netflow.EphemeralPort = 65536 // every client port is a row of its own
	b := begin(t, cfg, nil, nil)
	l := listen(t, "tcp", "127.0.0.1:0")
	const conns = 1000
	accepted := make(chan net.Conn, conns)
	go func() {
		for range conns {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	want := int64(0)
	for i := range conns {
		c := dial(t, "tcp", l.Addr().String())
		if _, err := c.Write(make([]byte, i+1)); err != nil {
			t.Fatal(err)
		}
		other := <-accepted
		t.Cleanup(func() { c.Close(); other.Close() }) // not before, by the garbage collector
		if _, err := io.ReadFull(other, make([]byte, i+1)); err != nil {
			t.Fatal(err)
		}
		want += int64(i + 1)
	}
	port := portOf(l.Addr())
	rows := b.end()
	if full := b.dropped("conn.flows", "flows_full"); full != 0 {
		t.Errorf("%d contributions were lost", full)
	}
	for name, got := range map[string]record.Netflow{
		"client": total(rows, client(port)), "server": total(rows, server(port)),
	} {
		if got.BytesWritten+got.BytesRead != want || got.Established != conns || got.Closed != 0 {
			t.Errorf("%s: %d bytes, %d established, %d closed; want %d, %d, 0", name, got.BytesWritten+got.BytesRead,
				got.Established, got.Closed, want, conns)
		}
	}
}
