package datakit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/record"
	"weft/sink/datakit"
)

// TestTroubleThenOK lets the server misbehave for a while in each way: nothing
// may be lost, repeated or reordered, and Write never waits (rig.write checks).
func TestTroubleThenOK(t *testing.T) {
	for name, script := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"500":      answer(500),
		"408":      answer(408),
		"redirect": answer(302, "Location", "/elsewhere"),
		"away":     answer(307, "Location", "http://127.0.0.1:1/v1/write/network"),
		"hang": func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return false
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) bool {
			c, _, _ := w.(http.Hijacker).Hijack()
			return c.Close() == nil && false
		},
		"garbage": func(w http.ResponseWriter, _ *http.Request) bool {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "\x00\xff\x16 SSH-2.0-what?\r\n\r\n")
			return c.Close() == nil && false
		},
		"endless header": func(w http.ResponseWriter, _ *http.Request) bool {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))
			return c.Close() == nil && false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.set(script)
			c := cfg(s)
			if name == "hang" {
				// Not shorter: a good answer that is late on a busy machine would
				// be an attempt without an answer, and be made again.
				c.Timeout = 700 * time.Millisecond
			}
			r := wire(t, c, t.TempDir())
			for i := range 10 {
				r.write(t, numbered(i*50, (i+1)*50))
				time.Sleep(15 * time.Millisecond)
			}
			s.set(nil)
			s.expect(t, 500)
			r.write(t, numbered(500, 600))
			s.expect(t, 600)
			r.close(t, time.Second)
			r.expect(t, 600, 600, map[string]int64{})
		})
	}
}

func TestSlowServerAnswersAfterAll(t *testing.T) {
	s := newServer(t)
	s.set(func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(30 * time.Millisecond)
		return true
	})
	r := wire(t, cfg(s), t.TempDir())
	for i := range 10 {
		r.write(t, numbered(i*50, (i+1)*50))
	}
	s.expect(t, 500)
	r.close(t, time.Second)
	r.expect(t, 500, 500, map[string]int64{})
}

func TestRefusedIsDroppedCountedAndReported(t *testing.T) {
	s := newServer(t)
	s.set(answer(400))
	c := cfg(s)
	c.Server += "/base"
	r := wire(t, c, t.TempDir())
	r.write(t, numbered(0, 600))
	for end := time.Now().Add(5 * time.Second); r.queue.Pending() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s.set(nil)
	r.write(t, numbered(0, 10))
	s.expect(t, 10)
	r.close(t, time.Second)
	r.expect(t, 610, 10, map[string]int64{"http_400": 600})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errors) != 1 {
		t.Fatalf("three refusals with one text made %d reports", len(s.errors))
	}
	want := `{"input":"ebpf","source":"","err_content":` +
		`"ebpf-net/netflow: server answered 400 Bad Request: {\"error_code\":\"test\"}"}`
	if string(s.errors[0]) != want || !json.Valid(s.errors[0]) {
		t.Errorf("got  %s\nwant %s", s.errors[0], want)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s := newServer(t)
	var tries atomic.Int32
	var refused, taken atomic.Int64
	s.set(func(w http.ResponseWriter, r *http.Request) bool {
		if tries.Add(1) == 1 {
			refused.Store(time.Now().UnixNano())
			return answer(429, "Retry-After", "1")(w, r)
		}
		taken.CompareAndSwap(0, time.Now().UnixNano())
		return true
	})
	r := wire(t, cfg(s), t.TempDir())
	r.write(t, numbered(0, 300))
	s.expect(t, 300)
	if d := time.Duration(taken.Load() - refused.Load()); d < time.Second || tries.Load() != 3 {
		t.Errorf("%d attempts, the second after %v", tries.Load(), d)
	}
	r.close(t, time.Second)
}

func TestBodiesDoNotHoldUp(t *testing.T) {
	for name, script := range map[string]func(http.ResponseWriter){
		"endless": func(w http.ResponseWriter) {
			for block := make([]byte, 64<<10); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"never ends": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			time.Sleep(3 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.set(func(w http.ResponseWriter, _ *http.Request) bool { script(w); return true })
			c, err := datakit.NewClient(cfg(s))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			before := time.Now()
			if err := c.Send(context.Background(), message(t, cfg(s))); err != nil {
				t.Error(err)
			}
			if d := time.Since(before); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// grab is a queue that keeps the last message.
type grab struct{ msg []byte }

func (g *grab) Enqueue(msg []byte, _ int) bool { g.msg = msg; return true }
func (*grab) Close(context.Context) error      { return nil }

func message(t *testing.T, c config.DataKit) []byte {
	t.Helper()
	var g grab
	r := wire(t, c, t.TempDir())
	r.close(t, time.Second)
	s, err := datakit.New(c, &g, r.ledger.Stage("grab"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), numbered(0, 1)); err != nil {
		t.Fatal(err)
	}
	return g.msg
}

func TestSendErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c, err := datakit.NewClient(config.DataKit{Server: addr, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var permanent interface{ Permanent() bool }
	msg := message(t, config.DataKit{Server: addr, SpoolBytes: 1 << 20})
	if err := c.Send(context.Background(), msg); err == nil || errors.As(err, &permanent) {
		t.Errorf("closed port: %v", err)
	}
	huge := append([]byte{1, 0}, bytes.Repeat([]byte{0xff}, 9)...)
	for _, bad := range [][]byte{nil, {1}, {9, 0, 0, 0}, {1, 0, 200}, append(huge, 1)} {
		if err := c.Send(context.Background(), bad); !errors.As(err, &permanent) || !permanent.Permanent() {
			t.Errorf("message %x: %v", bad, err)
		}
	}
}

func TestReportError(t *testing.T) {
	s := newServer(t)
	c, err := datakit.NewClient(cfg(s))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		c.ReportError("netflow: no door")
		c.ReportError(strings.Repeat("\u4e16", 2000))
	}
	c.Close()
	c.ReportError("too late")
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errors) != 2 {
		t.Fatalf("%d reports", len(s.errors))
	}
	if string(s.errors[0]) != `{"input":"ebpf","source":"","err_content":"netflow: no door"}` {
		t.Errorf("got %s", s.errors[0])
	}
	if n := len(s.errors[1]); n > 4200 {
		t.Errorf("%d bytes", n)
	}
}

func BenchmarkWrite256(b *testing.B) {
	points := make([]record.Point, 0, 256)
	for range 256 {
		points = append(points, numbered(0, 1)...)
	}
	var g grab
	s, err := datakit.New(config.DataKit{Gzip: true}, &g, ledger.New().Stage("bench"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Write(context.Background(), points); err != nil {
			b.Fatal(err)
		}
	}
}
