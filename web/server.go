// Package web is the local HTTP server: /healthz for people and supervisors,
// /metrics for Prometheus and a small status page. It stands beside the path of
// a record and only reads what the ledger counted.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"weft/ledger"
)

// Limits of a connection. A scrape is small and local, so they are short.
const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Options are what the server shows and where it listens.
type Options struct {
	// Addr is host:port; the host must be a loopback address unless Insecure.
	Addr string
	// Ledger holds the counters of /metrics.
	Ledger *ledger.Ledger
	// Health is asked at each request of /healthz and /. It must not block.
	Health func() Health
	// Version is shown by /healthz and by weft_build_info.
	Version string
	// Insecure allows a listen address that other machines can reach. The
	// server knows no authentication.
	Insecure bool
}

// Server is an HTTP server that listens already but does not serve yet.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen takes the address. It fails when the address is not loopback and
// Insecure is not set, or when the address cannot be had; the error says what
// to do. The caller must call Serve or Shutdown.
func Listen(o Options) (*Server, error) {
	if o.Ledger == nil || o.Health == nil {
		return nil, errors.New("web: no ledger or no health function given")
	}
	addr, err := resolve(o.Addr)
	if err != nil {
		return nil, err
	}
	if !addr.IP.IsLoopback() && !o.Insecure {
		return nil, fmt.Errorf("listen on %s: other machines could reach it and it asks for no password: "+
			"use 127.0.0.1:%d, or allow it explicitly", o.Addr, addr.Port)
	}
	h, err := handler(o, time.Now())
	if err != nil {
		return nil, err
	}
	return listen(addr, h, writeTimeout)
}

// Addr is the address the server listens on, with the port the kernel chose
// when port 0 was asked for.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Shutdown, after which it returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http on %s: %w", s.Addr(), err)
	}
	return nil
}

// Shutdown frees the address at once and waits for running requests until ctx
// ends; requests that still run then are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	// Serve may never have been called; closing twice is harmless.
	_ = s.listener.Close()
	return err
}

// handler is every route behind the guards.
func handler(o Options, start time.Time) (http.Handler, error) {
	m, err := metricsHandler(o)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", healthz(o, start))
	mux.Handle("GET /metrics", m)
	mux.Handle("GET /{$}", statusPage(o, start))
	mux.Handle("GET /style.css", styleSheet())
	return secured(mux), nil
}

// listen binds addr; a loopback address also gets the Host guard.
func listen(addr *net.TCPAddr, h http.Handler, write time.Duration) (*Server, error) {
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, explainListen(addr, err)
	}
	if addr.IP.IsLoopback() {
		h = onlyLocalHost(h)
	}
	return &Server{listener: l, http: &http.Server{
		Handler:           h,
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      write,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}}, nil
}
