package agent

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weft/web"
)

// servers are the local HTTP servers: health and metrics, and pprof.
type servers struct{ stops []func() }

func (s servers) stop() {
	for _, f := range s.stops {
		f()
	}
}

func (a *Agent) serve() (servers, error) {
	var s servers
	if a.cfg.Listen != "" {
		srv, err := web.Listen(web.Options{
			Addr: a.cfg.Listen, Ledger: a.ledger, Health: a.health, Version: a.cfg.Version,
		})
		if err != nil {
			return s, err
		}
		s.add(a, srv)
	}
	if a.cfg.PprofPort != "" {
		srv, err := web.ListenPprof(a.cfg.PprofHost, a.cfg.PprofPort)
		if err != nil {
			s.stop()
			return s, err
		}
		s.add(a, srv)
	}
	return s, nil
}

type server interface {
	Serve() error
	Shutdown(context.Context) error
}

func (s *servers) add(a *Agent, srv server) {
	go func() {
		if err := srv.Serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("http server", "err", err)
		}
	}()
	s.stops = append(s.stops, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			a.log.Warn("http server did not stop in time", "err", err)
		}
	})
}
