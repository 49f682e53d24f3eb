package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"weft/test/e2e/fakedatakit"
	"weft/test/e2e/netlab"
)

// A DataKit server that is away for two intervals and comes back has received
// everything, once and in order.
func TestDataKitOutage(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	server := fakedatakit.Start(t)
	c := start(t, "--sink", "datakit", "--datakit-apiserver", server.URL(), "--interval", "1s")
	connections, bytes := int64(0), int64(0)
	traffic := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			conn := p.Client.Dial(t, "tcp", serverAddr)
			connections++
			bytes += connections // so that every row differs
			converse(t, conn, int(connections))
			conn.Close()
		}
	}
	traffic(1200 * time.Millisecond)
	server.Down()
	traffic(2500 * time.Millisecond)
	server.Up(t)
	traffic(1200 * time.Millisecond)
	settle(t, p)
	c.Stop(t)
	checkWrites(t, server)
	for name, ns := range map[string]*netlab.Namespace{"client": p.Client, "server": p.Server} {
		points := slices.DeleteFunc(server.Points(), func(p fakedatakit.Point) bool { return p.Tags["netns"] != ns.Tag })
		equal(t, name+"'s tcp_established", sumPoints(points, "tcp_established"), connections)
		equal(t, name+"'s tcp_closed", sumPoints(points, "tcp_closed"), connections)
		equal(t, name+"'s bytes_read", sumPoints(points, "bytes_read"), bytes)
		checkOnceInOrder(t, points)
	}
}

func checkWrites(t *testing.T, server *fakedatakit.Server) {
	t.Helper()
	for _, r := range server.Requests() {
		equal(t, "path", r.Path, "/v1/write/network?input=ebpf-net%2Fnetflow")
		equal(t, "Content-Type", r.ContentType, "application/protobuf; proto=com.guance.Point")
		if len(r.Points) > 256 {
			t.Errorf("%d points in one request", len(r.Points))
		}
	}
}

func sumPoints(points []fakedatakit.Point, field string) (sum int64) {
	for _, p := range points {
		sum += p.Field(field)
	}
	return sum
}

// checkOnceInOrder wants each row of an interval once, and intervals in order.
func checkOnceInOrder(t *testing.T, points []fakedatakit.Point) {
	t.Helper()
	seen := map[string]bool{}
	for i, p := range points {
		key := fmt.Sprint(p.Time, p.Tags, p.Fields)
		if seen[key] {
			t.Errorf("twice: %v", p)
		}
		seen[key] = true
		if i > 0 && p.Time < points[i-1].Time {
			t.Errorf("point %d is %v older than the one before it", i, time.Duration(points[i-1].Time-p.Time))
		}
	}
}

// A server that takes connections and never answers, or answers nonsense, does
// not hold up the collection or the other sink, nor the end.
func TestDataKitMisbehaves(t *testing.T) {
	needs(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	rude := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Write([]byte("MAYBE\r\n\r\n"))
			conn.Close()
		}
	}))
	defer rude.Close()
	for name, url := range map[string]string{"silent": "http://" + silent.Addr().String(), "rude": rude.URL} {
		t.Run(name, func(t *testing.T) {
			p := netlab.NewPair(t)
			serveEcho(p.Server.Listen(t, "tcp", serverAddr))
			c := start(t, "--sink", "stdout,datakit", "--datakit-apiserver", url,
				"--datakit-timeout", "500ms", "--interval", "1s")
			for range 3 {
				conn := p.Client.Dial(t, "tcp", serverAddr)
				converse(t, conn, 10)
				conn.Close()
				time.Sleep(700 * time.Millisecond)
			}
			settle(t, p)
			e := of(p, c.Stop(t))
			e.sums(t, "tcp_closed", 3, 3)
		})
	}
}

// What a DataKit server did not take before the collector ended is sent by the
// next one.
func TestDataKitRestart(t *testing.T) {
	needs(t)
	p := netlab.NewPair(t)
	serveEcho(p.Server.Listen(t, "tcp", serverAddr))
	server := fakedatakit.Start(t)
	server.Down()
	dir := t.TempDir()
	args := []string{"--sink", "datakit", "--datakit-apiserver", server.URL(), "--state-dir", dir, "--interval", "1s"}
	for run := range 2 {
		c := start(t, args...)
		for range 3 {
			conn := p.Client.Dial(t, "tcp", serverAddr)
			converse(t, conn, 10)
			conn.Close()
			time.Sleep(400 * time.Millisecond)
		}
		settle(t, p)
		if run == 1 {
			server.Up(t)
			time.Sleep(time.Second)
		}
		c.Stop(t)
	}
	points := slices.DeleteFunc(server.Points(), func(q fakedatakit.Point) bool { return q.Tags["netns"] != p.Server.Tag })
	equal(t, "tcp_closed", sumPoints(points, "tcp_closed"), 6)
	checkOnceInOrder(t, points)
}
