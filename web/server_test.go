package web

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weft/ledger"
)

func healthy() Health {
	return Health{Capabilities: []Capability{{Name: "tcp connections", Feature: "netflow (TCP)", Door: "tp_btf"}}}
}

// start serves on a free loopback port until the test ends.
func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	if o.Ledger == nil {
		o.Ledger = ledger.New()
	}
	if o.Health == nil {
		o.Health = healthy
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + s.Addr().String()
}

func get(t *testing.T, url, host string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestHealthz(t *testing.T) {
	missing := Health{Capabilities: []Capability{{Name: "tls"}, {Name: "tcp", Door: "tp_btf"}}}
	for _, tt := range []struct {
		name   string
		health Health
		code   int
		status string
	}{
		{"ok", healthy(), 200, StatusOK},
		{"nothing asked for", Health{}, 200, StatusOK},
		{"a capability is missing", missing, 200, StatusDegraded},
		{"work is left out", Health{Shedding: &Shedding{Step: 1, Of: 4}}, 200, StatusDegraded},
		{"a problem", Health{Problems: []string{"datakit: refused"}}, 200, StatusDegraded},
		{"dead", Health{Dead: "no source runs", Problems: []string{"x"}}, 503, StatusDead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, url := start(t, Options{Version: "1.2.3", Health: func() Health { return tt.health }})
			res, body := get(t, url+"/healthz", "")
			var rep report
			if err := json.Unmarshal([]byte(body), &rep); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if res.StatusCode != tt.code || rep.Status != tt.status || rep.Reason != tt.health.Dead {
				t.Errorf("got %d %+v, want %d %s", res.StatusCode, rep, tt.code, tt.status)
			}
			if rep.Version != "1.2.3" || rep.UptimeSeconds < 0 || rep.Capabilities == nil {
				t.Errorf("incomplete: %s", body)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestStatusPage(t *testing.T) {
	_, url := start(t, Options{Version: "1.2.3", Health: func() Health {
		return Health{Capabilities: []Capability{{Name: "tls", Advice: "<script>alert(1)</script>"}}}
	}})
	res, body := get(t, url+"/", "")
	if !strings.Contains(body, "Weft 1.2.3") || !strings.Contains(body, `class="degraded">missing`) {
		t.Errorf("page: %s", body)
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, "http://") || strings.Contains(body, "https://") {
		t.Errorf("page has a script or asks another machine: %s", body)
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("CSP %q", csp)
	}
	if res, _ := get(t, url+"/style.css", ""); res.StatusCode != 200 ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	if res, _ := get(t, url+"/nothing", ""); res.StatusCode != 404 {
		t.Errorf("unknown path: %d", res.StatusCode)
	}
}

func TestHostGuard(t *testing.T) {
	s, url := start(t, Options{})
	_, port, _ := net.SplitHostPort(s.Addr().String())
	for host, want := range map[string]int{
		"":                       200,
		"localhost":              200,
		"LOCALHOST:1":            200,
		"127.0.0.1:" + port:      200,
		"[::1]":                  200,
		"[::1]:9530":             200,
		"evil.example":           403,
		"evil.example:" + port:   403,
		"localhost.evil.example": 403,
		"127.0.0.1.evil.example": 403,
		"10.0.0.1":               403,
		"[::ffff:10.0.0.1]:9530": 403,
	} {
		for _, path := range []string{"/healthz", "/metrics", "/"} {
			if res, _ := get(t, url+path, host); res.StatusCode != want {
				t.Errorf("Host %q of %s: got %d, want %d", host, path, res.StatusCode, want)
			}
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/healthz", nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", res.StatusCode)
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]string{
		"0.0.0.0:0":              "other machines could reach it",
		":0":                     "other machines could reach it",
		"[::]:0":                 "other machines could reach it",
		"9530":                   "is not host:port",
		"127.0.0.1:notaport":     "is not host:port",
		taken.Addr().String():    "listen on " + taken.Addr().String() + ": the port is taken",
		"127.0.0.1:123456":       "is not host:port",
		"host.invalid.weft:9530": "is not host:port",
	} {
		s, err := Listen(Options{Addr: addr, Ledger: ledger.New(), Health: healthy})
		if err == nil {
			_ = s.Shutdown(t.Context())
			t.Errorf("%s: accepted", addr)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want it to contain %q", addr, err, want)
		}
	}
	if _, err := Listen(Options{Addr: "127.0.0.1:0"}); err == nil {
		t.Error("no ledger accepted")
	}
}

func TestInsecureListen(t *testing.T) {
	s, _ := start(t, Options{Addr: "0.0.0.0:0", Insecure: true})
	_, port, _ := net.SplitHostPort(s.Addr().String())
	if res, _ := get(t, "http://127.0.0.1:"+port+"/healthz", "node7.example"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func TestShutdown(t *testing.T) {
	s, err := Listen(Options{Addr: "127.0.0.1:0", Ledger: ledger.New(), Health: func() Health {
		time.Sleep(100 * time.Millisecond)
		return Health{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	served, answered := make(chan error, 1), make(chan int, 1)
	go func() { served <- s.Serve() }()
	go func() {
		res, _ := get(t, "http://"+s.Addr().String()+"/healthz", "")
		answered <- res.StatusCode
	}()
	time.Sleep(50 * time.Millisecond)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if code := <-answered; code != 200 {
		t.Errorf("a running request got %d", code)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	// Shutdown before Serve frees the port too.
	s, err = ListenPprof("", "0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", s.Addr().String())
	if err != nil {
		t.Fatal("port not freed:", err)
	}
	l.Close()
}

func TestPprof(t *testing.T) {
	s, err := ListenPprof("", "0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	defer func() { _ = s.Shutdown(context.Background()) }()
	url := "http://" + s.Addr().String()
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Error("not on loopback:", url)
	}
	if res, body := get(t, url+"/debug/pprof/goroutine?debug=1", ""); res.StatusCode != 200 ||
		!strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := get(t, url+"/debug/pprof/", "evil.example"); res.StatusCode != 403 {
		t.Errorf("foreign host: %d", res.StatusCode)
	}
	if _, err := ListenPprof("127.0.0.1", "99999"); err == nil {
		t.Error("bad port accepted")
	}
}
