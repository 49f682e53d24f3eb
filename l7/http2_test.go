package l7

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"weft/protocol"
	"weft/protocol/http1"
	"weft/protocol/http2"
)

func withBoth(o *Options) {
	o.Protocols = []protocol.Protocol{http1.New(http1.Options{}), http2.New(http2.Options{})}
}

// talkHTTP2 is talk over HTTP/2 with prior knowledge, some streams at a time.
func talkHTTP2(t *testing.T) (cs []Chunk, truth []string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	var p *tap
	tr := &http.Transport{Protocols: s.Config.Protocols,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			p = &tap{Conn: c}
			return p, err
		}}
	ask := func(target string) {
		a, err := tr.RoundTrip(httptest.NewRequest("POST", s.URL+target, strings.NewReader(strings.Repeat("b", 500))))
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
	}
	var all sync.WaitGroup
	for i := range 40 {
		target := fmt.Sprintf("/%d/%d/%d", i*i*50, 200+i%4, i)
		truth = append(truth, fmt.Sprintf("POST %s %d", target, 200+i%4))
		all.Go(func() { ask(target) })
		if i%5 == 0 {
			all.Wait()
		}
	}
	all.Wait()
	tr.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(truth)
	return p.cs, truth
}

// playBoth is playHTTP with both versions; its lines are sorted.
func playBoth(t *testing.T, cs []Chunk, joined bool) (r *rig, lines []string) {
	r = newRig(t, withBoth)
	r.e.Open(id(1), Info{Joined: joined})
	for i := range cs {
		c := cs[i]
		r.e.Chunk(&c)
	}
	r.e.Close(id(1), cs[len(cs)-1].Time+ms)
	for _, x := range r.xs {
		if x.Status != 0 {
			lines = append(lines, fmt.Sprintf("%s %s %d", x.Method, x.Path, x.Status))
		}
	}
	slices.Sort(lines)
	return r, lines
}

func TestHTTP2(t *testing.T) {
	cs, truth := talkHTTP2(t)
	clean, lines := playBoth(t, cs, false)
	clean.want("clean", lines, truth)
	for seed := range uint64(50) {
		r, lines := playBoth(t, disturb(rand.New(rand.NewPCG(seed, 3)), cs), false)
		r.want("disturbed", lines, truth)
		r.wantLost()
		if !reflect.DeepEqual(r.xs, clean.xs) {
			t.Fatalf("seed %d: other exchanges than the clean ones", seed)
		}
	}
}

// Joined anywhere or with a chunk lost, a known path has the status it had.
func TestHTTP2JoinedOrLossy(t *testing.T) {
	cs, truth := talkHTTP2(t)
	known := 0
	check := func(what string, lines []string) {
		for _, l := range lines {
			if !strings.Contains(l, "unknown") {
				known++
				if !slices.Contains(truth, l) {
					t.Errorf("%s: %q never was", what, l)
				}
			}
		}
	}
	for i := range cs {
		_, lines := playBoth(t, cs[i:], true)
		check(fmt.Sprintf("joined at %d", i), lines)
		_, lines = playBoth(t, slices.Concat(cs[:i], cs[i+1:]), false)
		check(fmt.Sprintf("%d lost", i), lines)
	}
	if known < 10*len(truth) {
		t.Errorf("only %d known paths", known)
	}
}

// An upgrade in the middle of packets, as RFC 7540 section 3.2 has it.
func TestH2CUpgrade(t *testing.T) {
	request := "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
		"Upgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
	frame := func(kind, flags, stream byte, payload string) string {
		return string([]byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, stream}) + payload
	}
	settings := frame(4, 0, 0, "")
	const headers, end = 1, 0x5 // END_STREAM, END_HEADERS
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" +
		settings + frame(headers, end, 1, "\x88") // :status 200
	for cut := 1; cut < len(answer); cut++ {
		r := newRig(t, withBoth)
		r.chunk(client, 0, []byte(request))
		r.chunk(server, 0, []byte(answer[:cut]))
		r.chunk(server, cut, []byte(answer[cut:]))
		more := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + frame(headers, end, 3, "\x82\x86\x84\x41\x01h") // GET /
		r.chunk(client, len(request), []byte(more))
		r.chunk(server, len(answer), []byte(frame(headers, end, 3, "\x8d"))) // :status 404
		r.close()
		var got []string
		for _, x := range r.xs {
			got = append(got, fmt.Sprintf("%s %d %s %d", x.Protocol, x.StreamID, x.Path, x.Status))
		}
		r.want(fmt.Sprintf("cut at %d", cut), got, []string{"http2 1 /up 200", "http2 3 / 404"})
		r.want("ended", r.ended, nil)
		r.wantDrops("l7.exchanges", "upgraded_h2c 1")
	}
}
