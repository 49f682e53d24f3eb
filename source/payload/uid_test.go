package payload

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weft/l7"
	"weft/protocol"
)

// ends are what the two ends of the connections through the router announced.
func (b *bench) ends(t *testing.T) (client, server *opened) {
	t.Helper()
	for _, c := range b.conns {
		switch {
		case c.Flow.DstPort == dialled && c.Flow.Dst.String() == serverSeenAt:
			client = c
		case c.Flow.SrcPort == served && c.Flow.Dst.String() == clientSeenAt:
			server = c
		}
	}
	if client == nil || server == nil {
		t.Fatalf("announced: client %v, server %v", client != nil, server != nil)
	}
	return client, server
}

// through tells whether a connection is one through the router.
func through(c *opened) bool {
	return c.Flow.Src.String() == clientAt || c.Flow.Src.String() == serverAt
}

func checkUID(t *testing.T, client, server *opened) {
	t.Helper()
	if client.UID != server.UID || client.UID.Client == 0 || client.UID.Server == 0 {
		t.Errorf("uid of the client's end %x, of the server's %x", client.UID, server.UID)
	}
	pid := uint32(os.Getpid())
	if client.Flow.NetNS == server.Flow.NetNS || client.Flow.PID != pid || server.Flow.PID != pid {
		t.Errorf("client %+v\nserver %+v", client.Flow, server.Flow)
	}
	if uint16(server.Flow.DstPort) != uint16(client.Flow.SrcPort)+portShift {
		t.Errorf("the client's port is %d here and %d there", client.Flow.SrcPort, server.Flow.DstPort)
	}
}

// checkStream wants a side's bytes at their true offsets, from a first one on.
func checkStream(t *testing.T, c *opened, side protocol.Side, all string, from int) {
	t.Helper()
	next := uint64(from)
	for _, k := range c.chunks {
		if k.side != side {
			continue
		}
		if k.offset != next || all[k.offset:k.offset+k.size] != k.data {
			t.Errorf("%s, side %d: chunk of %d bytes at %d, want %d", c.Flow.Direction, side, k.size, k.offset, next)
			return
		}
		next += k.size
	}
	if next != uint64(len(all)) {
		t.Errorf("%s, side %d: up to %d, want %d", c.Flow.Direction, side, next, len(all))
	}
}

// TestUID: both ends of a connection through NAT tell the same uid, whether it
// is new or not, and the true offsets.
func TestUID(t *testing.T) {
	up, down := string(noise(200_000)), strings.ToUpper(body(70_000))+string(noise(200_000))
	for _, joined := range []bool{false, true} {
		t.Run(map[bool]string{false: "new", true: "joined"}[joined], func(t *testing.T) {
			r := newRouter(t)
			var b *bench
			at := 0
			if !joined {
				b = start(t, rawConfig(dialled, served))
			}
			client, server := r.pair(t, r.listen(t, &net.ListenConfig{}), &net.Dialer{})
			if joined {
				at = 70_000
				say(t, client, server, []step{ask(up[:at]), answer(down[:at])})
				b = start(t, rawConfig(dialled, served))
			}
			b.deaf = true
			say(t, client, server, []step{answer(down[at : at+10]), ask(up[at:]), answer(down[at+10:])})
			client.Close()
			server.Close()
			b.until(func() bool { return b.closed() == 2 })
			b.finish()
			c, s := b.ends(t)
			checkUID(t, c, s)
			for _, end := range []*opened{c, s} {
				if end.Joined != joined {
					t.Errorf("joined %v", end.Joined)
				}
				checkStream(t, end, protocol.Client, up, at)
				checkStream(t, end, protocol.Server, down, at)
				if t.Failed() {
					b.explain(served)
				}
			}
		})
	}
}

func (b *bench) closed() (n int) {
	for _, c := range b.conns {
		if c.closed && through(c) {
			n++
		}
	}
	return n
}

// TestUIDHTTP: a connection that is handed over in the middle, by pipelining,
// and one of HTTP/2.
func TestUIDHTTP(t *testing.T) {
	r := newRouter(t)
	b := start(t, testConfig())
	l := r.listen(t, &net.ListenConfig{})
	client, server := r.pair(t, l, &net.Dialer{})
	get := "GET /a HTTP/1.1\r\n\r\n"
	say(t, client, server, []step{ask(get), answer(ok), ask(get + get), answer(ok + ok)})
	client.Close()
	server.Close()
	b.await(served, 0)
	b.until(func() bool { return b.sum(incoming(served)).Count >= 3 && b.sum(outgoing(dialled)).Count >= 3 })
	b.finish()
	c, s := b.ends(t)
	checkUID(t, c, s)
	if n, m := b.sum(incoming(served)).Count, b.sum(outgoing(dialled)).Count; n != 3 || m != 3 {
		t.Errorf("server %d, client %d, want 3", n, m)
	}
}

// TestFastOpen: the first request is in the SYN (RFC 7413).
func TestFastOpen(t *testing.T) {
	r := newRouter(t)
	for _, n := range []*namespace{r.client, r.server} {
		var err error
		n.do(func() { err = os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte("3"), 0) })
		if err != nil {
			t.Skipf("cannot be switched on: %v", err)
		}
	}
	option := func(opt, value int) func(string, string, syscall.RawConn) error {
		return func(_, _ string, c syscall.RawConn) (err error) {
			c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, opt, value) })
			return err
		}
	}
	l := r.listen(t, &net.ListenConfig{Control: option(unix.TCP_FASTOPEN, 16)})
	d := &net.Dialer{Control: option(unix.TCP_FASTOPEN_CONNECT, 1)}
	get := "GET /a HTTP/1.1\r\n\r\n"
	connect := func() (client, server net.Conn) {
		client = r.dial(t, d)
		client.Write([]byte(get)) // this connects
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server.Read(make([]byte, len(get)))
		say(t, client, server, []step{answer(ok)})
		return client, server
	}
	client, server := connect()
	client.Close()
	server.Close()
	b := start(t, testConfig())
	const conns = 8 // sequence numbers are in both halves of their range
	for range conns {
		client, server := connect()
		say(t, client, server, []step{ask(get + get), answer(ok + ok)})
		client.Close()
		server.Close()
	}
	b.until(func() bool {
		return b.sum(incoming(served)).Count >= 2*conns && b.sum(outgoing(dialled)).Count >= 3*conns
	})
	b.finish()
	m := b.sum(outgoing(dialled))
	if m.Count != 3*conns || m.Req != int64(3*conns*len(get)) || m.Resp != int64(3*conns*len(ok)) {
		t.Errorf("client %+v, want %d", m, 3*conns)
	}
	// The server may answer before its socket is established, when it is not
	// known to source/conn: such requests are counted as lost.
	n, lost := b.sum(incoming(served)).Count, b.dropped("payload.streams", "early_lost")
	if n < 2*conns || n+lost < 3*conns {
		t.Errorf("server %d and %d lost, want %d", n, lost, 3*conns)
	}
	uids := map[l7.UID]int{}
	for _, c := range b.conns {
		if !through(c) {
			continue
		}
		uids[c.UID]++
		for _, k := range c.chunks {
			if want := uint64(len(get)); k.side == protocol.Client && k.offset != 2*want {
				t.Errorf("%s: the last request is at %d, want %d", c.Flow.Direction, k.offset, 2*want)
			}
		}
	}
	if len(uids) != conns {
		t.Errorf("uids %v, want each twice", uids)
	}
	if n := b.stat(bpfPayloadStatSTAT_GAPS); n != 0 {
		t.Logf("%d gaps", n)
	}
}
