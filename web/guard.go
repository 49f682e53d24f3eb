package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
)

// resolve turns host:port into an address. An empty host means every
// interface, as in net.Listen.
func resolve(hostport string) (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", hostport)
	if err != nil {
		return nil, fmt.Errorf("listen address %q is not host:port: %w", hostport, err)
	}
	return addr, nil
}

// explainListen adds what to do to the errors a user meets.
func explainListen(addr *net.TCPAddr, err error) error {
	todo := "choose another listen address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		todo = fmt.Sprintf("the port is taken: `ss -ltnp sport = :%d` names the process; "+
			"stop it or choose another listen address", addr.Port)
	case errors.Is(err, syscall.EACCES):
		todo = "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		todo = "this machine has no such address: choose another listen address"
	}
	return fmt.Errorf("listen on %s: %s: %w", addr, todo, err)
}

// onlyLocalHost refuses requests whose Host is not this machine. A web page
// on the internet can point its own name at 127.0.0.1 (DNS rebinding) and
// would then read our answers as its own; the Host header gives it away.
func onlyLocalHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalHost(r.Host) {
			http.Error(w, "this server answers only to localhost, 127.0.0.1 and [::1]", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocalHost tells whether a Host header names the loopback interface. Any
// port is fine: an ssh tunnel changes it.
func isLocalHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// secured sets the headers every answer carries. Nothing may be loaded from
// elsewhere and no other page may frame or script this one.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
