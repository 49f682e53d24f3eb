package web

import (
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// pprofWriteTimeout bounds a profile: ?seconds= may ask for that long.
const pprofWriteTimeout = 5 * time.Minute

// ListenPprof takes host:port for Go's profiler at /debug/pprof/. An empty
// host is 127.0.0.1. A host that other machines can reach is taken as it is,
// because it is only used when it was configured explicitly.
func ListenPprof(host, port string) (*Server, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	addr, err := resolve(net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return listen(addr, mux, pprofWriteTimeout)
}
