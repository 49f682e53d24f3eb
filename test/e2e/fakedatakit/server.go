// Package fakedatakit is a DataKit server for tests: it takes what a collector
// writes, decodes it with a decoder of its own, and can be stopped and started
// again at the same address.
package fakedatakit

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Request is one write that the server acknowledged.
type Request struct {
	// Path with its query, e.g. /v1/write/network?input=ebpf-net%2Fnetflow.
	Path        string
	ContentType string
	Points      []Point
}

// Server is the fake. Its address stays the same while it is down.
type Server struct {
	addr string

	mu       sync.Mutex
	http     *http.Server
	requests []Request
	problems []string
	errors   []string
}

// Start starts a server on a free loopback port until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{addr: "127.0.0.1:0"}
	s.Up(t)
	t.Cleanup(func() {
		s.Down()
		for _, p := range s.problems {
			t.Error(p)
		}
	})
	return s
}

// URL is the server's base URL.
func (s *Server) URL() string { return "http://" + s.addr }

// Up listens at the server's address.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(s.serve)}
	s.mu.Lock()
	s.http = server
	s.mu.Unlock()
	go server.Serve(l) //nolint:errcheck // ends with http.ErrServerClosed
}

// Down answers what it is about to answer, then closes the listener and every
// connection: connects are refused.
func (s *Server) Down() {
	s.mu.Lock()
	server := s.http
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	server.Shutdown(ctx) //nolint:errcheck // nothing to do about it
}

// Requests returns what was acknowledged so far, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Errors returns what collectors said is wrong with them.
func (s *Server) Errors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.errors...)
}

// Points returns the points of all requests, in order of arrival.
func (s *Server) Points() []Point {
	var all []Point
	for _, r := range s.Requests() {
		all = append(all, r.Points...)
	}
	return all
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the other end went away, or we are going down
	}
	if r.URL.Path == "/v1/lasterror" {
		s.mu.Lock()
		s.errors = append(s.errors, string(body))
		s.mu.Unlock()
		return
	}
	points, err := Decode(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.problems = append(s.problems, fmt.Sprintf("%s: %v", r.URL, err))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.requests = append(s.requests, Request{r.URL.String(), r.Header.Get("Content-Type"), points})
}
