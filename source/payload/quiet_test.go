package payload

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"

	"weft/protocol"
)

// marks counts what the kernel thinks of the clients of a port (conn.l7).
func (b *bench) marks(port int) map[uint8]int {
	b.t.Helper()
	spec, err := loadBpf()
	if err != nil {
		b.t.Fatal(err)
	}
	var typ *btf.Struct
	if err := spec.Types.TypeByName("conn", &typ); err != nil {
		b.t.Fatal(err)
	}
	at := map[string]int{}
	for _, m := range typ.Members {
		at[m.Name] = int(m.Offset.Bytes())
	}
	out := map[uint8]int{}
	var key uint64
	var value []byte
	entries := b.base.Shared()[bpfMapSocks].Iterate()
	for entries.Next(&key, &value) {
		const client = 0
		if int(binary.BigEndian.Uint16(value[at["rport"]:])) == port && value[at["role"]] == client {
			out[value[at["l7"]]]++
		}
	}
	return out
}

const boring = 0xff

// TestQuiet: protocols that nobody asked for are known as such by the first
// bytes of the client, and cost no chunk.
func TestQuiet(t *testing.T) {
	b := start(t, testConfig())
	for _, s := range []struct {
		name  string
		steps []step
	}{
		{"ssh", []step{answer("SSH-2.0-OpenSSH_9.2\r\n"), ask("SSH-2.0-OpenSSH_9.2\r\n"), answer(string(noise(1000)))}},
		{"random", []step{ask(string(noise(5000))), answer(string(noise(5000))), ask(string(noise(10)))}},
		{"redis", []step{ask("*1\r\n$4\r\nPING\r\n"), answer("+PONG\r\n"), ask("*1\r\n$4\r\nPING\r\n")}},
		{"short", []step{ask("q"), answer("GET / HTTP/1.1\r\n\r\n"), ask("GET /evil HTTP/1.1\r\n\r\n"), answer(ok)}},
	} {
		t.Run(s.name, func(t *testing.T) {
			b.t = t
			l := listen(t, "tcp4", "127.0.0.1:0")
			client, server := pair(t, l)
			defer client.Close()
			defer server.Close()
			say(t, client, server, s.steps)
			if got := b.marks(portOf(l.Addr())); got[boring] != 1 {
				t.Errorf("marks %v, want one that is boring", got)
			}
			b.quietOn(portOf(l.Addr()))
		})
	}
	b.t = t
	b.finish()
}

func (b *bench) quietOn(port int) {
	b.t.Helper()
	if err := b.source.Flush(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		if int(c.Flow.SrcPort) == port || int(c.Flow.DstPort) == port {
			b.t.Errorf("handed over: %+v", c)
		}
	}
	if n := b.sum(incoming(port)).Count; n != 0 {
		b.t.Errorf("%d exchanges", n)
	}
}

// TestQuietJoined: a connection that was open before has eight turns of speech
// to show what it is, and then none.
func TestQuietJoined(t *testing.T) {
	needRoot(t)
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := pair(t, l)
	defer client.Close()
	defer server.Close()
	turn := []step{ask("\x01query"), ask("\x01more"), answer("\x02answer")}
	say(t, client, server, turn)
	b := start(t, testConfig())
	for i := range 5 {
		if got := b.marks(portOf(l.Addr())); got[boring] != 0 {
			t.Errorf("%v after %d turns", got, i)
		}
		say(t, client, server, turn)
	}
	if got := b.marks(portOf(l.Addr())); got[boring] != 1 {
		t.Errorf("%v after ten turns", got)
	}
	b.quietOn(portOf(l.Addr()))
	b.finish()
}

// TestVerdict: what user space does not understand, it is not given any more.
func TestVerdict(t *testing.T) {
	needRoot(t)
	l := listen(t, "tcp4", "127.0.0.1:0")
	b := start(t, rawConfig(portOf(l.Addr())))
	client, server := pair(t, l)
	defer client.Close()
	defer server.Close()
	garbage := []step{ask(body(100)), answer(body(100))}
	b.until(func() bool {
		say(t, client, server, garbage)
		return b.marks(portOf(l.Addr()))[boring] == 1
	})
	if got := b.marks(portOf(l.Addr())); got[boring] != 1 {
		t.Fatalf("marks %v", got)
	}
	before := b.stat(bpfPayloadStatSTAT_CHUNKS)
	for range 50 {
		say(t, client, server, garbage)
	}
	if n := b.stat(bpfPayloadStatSTAT_CHUNKS) - before; n != 0 {
		t.Errorf("%d chunks after the verdict", n)
	}
	b.finish()
}

// TestSkip: the middle of a long body does not reach user space, and is counted
// all the same; the next connection, maybe at the same address, is seen whole.
func TestSkip(t *testing.T) {
	b := start(t, testConfig())
	l := listen(t, "tcp4", "127.0.0.1:0")
	const size = 4 << 20
	head := "HTTP/1.1 200 OK\r\n" + length(size)
	request := "SEARCH /big HTTP/1.1\r\n\r\n"
	for i := range 4 {
		client, server := pair(t, l)
		say(t, client, server, []step{ask(request), answer(head), answer(body(64 << 10))})
		// The hint is given when the engine has seen the head.
		b.until(func() bool { return b.seen(portOf(l.Addr())) == 2*(i+1) })
		say(t, client, server, []step{answer(body(size - 64<<10)), ask(request), answer(ok)})
		client.Close()
		server.Close()
		b.await(portOf(l.Addr()), int64(2*(i+1)))
	}
	b.finish()
	b.checkBoth(portOf(l.Addr()), map[string]int64{"SEARCH /big 200 1.1": 8},
		int64(8*len(request)), int64(4*(len(head)+size+len(ok))))
	for _, c := range b.conns {
		n := 0
		for _, k := range c.chunks {
			n += len(k.data)
		}
		if n > size/2 {
			t.Errorf("%d of %d bytes were copied", n, size)
		}
	}
}

// seen is how many connections of a port have given a chunk of the server.
func (b *bench) seen(port int) (n int) {
	for _, c := range b.conns {
		if int(c.Flow.SrcPort) != port && int(c.Flow.DstPort) != port {
			continue
		}
		for _, k := range c.chunks {
			if k.side == protocol.Server {
				n++
				break
			}
		}
	}
	return n
}

// TestRingFull: while nobody reads, what does not fit is counted, byte by byte.
func TestRingFull(t *testing.T) {
	needRoot(t)
	l := listen(t, "tcp4", "127.0.0.1:0")
	cfg := rawConfig(portOf(l.Addr()))
	cfg.L7.RingSize = 1
	b := begin(t, cfg)
	b.deaf = true
	client, server := pair(t, l)
	const size = 3 << 20
	say(t, client, server, []step{ask(string(noise(size))), answer(string(noise(size)))})
	client.Close()
	server.Close()
	time.Sleep(100 * time.Millisecond)
	b.run()
	b.finish()
	got := int64(0)
	for _, c := range b.conns {
		for _, k := range c.chunks {
			got += int64(k.size)
			if int(k.size) != len(k.data) {
				t.Errorf("%d bytes of %d", len(k.data), k.size)
			}
		}
	}
	lost := b.dropped("payload.chunks", "ring_full_bytes")
	if got+lost != 4*size || lost == 0 || got < 512<<10 {
		t.Errorf("%d bytes came and %d were lost, want %d", got, lost, 4*size)
	}
	if b.dropped("payload.chunks", "ring_full") == 0 {
		t.Error("no chunk was counted as lost")
	}
}

// TestRowsWithoutNames: exchanges whose row could not be announced are counted.
func TestRowsWithoutNames(t *testing.T) {
	cfg := testConfig()
	cfg.L7.RingSize = 1
	b := begin(t, cfg)
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := pair(t, l)
	const requests = 3000
	for i := range requests {
		say(t, client, server, []step{ask(fmt.Sprintf("GET /%d HTTP/1.1\r\n\r\n", i)), answer(ok)})
	}
	b.run()
	client.Close()
	server.Close()
	b.finish()
	got := b.sum(incoming(portOf(l.Addr()))).Count + b.sum(outgoing(portOf(l.Addr()))).Count
	lost := b.dropped("payload.requests", "row_unnamed") + b.dropped("payload.requests", "row_lost")
	if got+lost < 2*requests || got == 0 || lost == 0 {
		t.Errorf("%d exchanges and %d lost, want %d", got, lost, 2*requests)
	}
}

// TestTablesFull: connections that cannot be followed are counted.
func TestTablesFull(t *testing.T) {
	cfg := testConfig()
	cfg.L7.MaxConns = 1024
	b := start(t, cfg)
	l := listen(t, "tcp4", "127.0.0.1:0")
	const conns = 900 // and as many servers
	var open []net.Conn
	for range conns {
		client, server := pair(t, l)
		open = append(open, client, server)
		say(t, client, server, []step{ask("GET /x HTTP/1.1\r\n\r\n"), answer(ok)})
	}
	b.until(func() bool {
		seen := b.sum(incoming(portOf(l.Addr()))).Count + b.sum(outgoing(portOf(l.Addr()))).Count
		return seen+b.stat(bpfPayloadStatSTAT_STREAMS_FULL) >= 2*conns
	})
	for _, c := range open {
		c.Close()
	}
	b.finish()
	got := b.sum(incoming(portOf(l.Addr()))).Count + b.sum(outgoing(portOf(l.Addr()))).Count
	full := b.dropped("payload.streams", "streams_full")
	// Other traffic of the machine may take places.
	if got+full < 2*conns || got > 1024 || got == 0 {
		t.Errorf("%d exchanges and %d without a place, want %d", got, full, 2*conns)
	}
}

// TestManyPaths: rows that fill the table are read out early and none is lost.
func TestManyPaths(t *testing.T) {
	b := start(t, testConfig())
	l := listen(t, "tcp4", "127.0.0.1:0")
	client, server := pair(t, l)
	const requests = 2000
	want := map[string]int64{}
	for i := range requests {
		path := fmt.Sprintf("/%s%d", strings.Repeat("x", i%120), i)
		want[label("GET", path, false, 200, "1.1")]++
		say(t, client, server, []step{ask("GET " + path + " HTTP/1.1\r\n\r\n"), answer(ok)})
	}
	io.WriteString(client, "x")
	client.Close()
	server.Close()
	b.await(portOf(l.Addr()), requests)
	b.finish()
	for side, match := range sides(portOf(l.Addr())) {
		if d := difference(b.counts(match), want); d != "" {
			t.Errorf("%s:%.2000s", side, d)
		}
	}
}
