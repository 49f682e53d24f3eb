package agent

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"weft/config"
	"weft/enrich/domain"
	"weft/enrich/localip"
	"weft/ledger"
	"weft/probe"
	"weft/source/exec"
)

// Doctor opens every door that `weft run` would open with this configuration,
// closes them again and prints what it found. It fails when something that is
// wanted is missing; the report is complete then too.
func Doctor(w io.Writer, cfg *config.Config, asJSON bool) error {
	var all []probe.Capability
	d := deps{
		cfg: cfg, led: ledger.New(), log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		domains: domain.New(domain.Options{}), local: localip.New(cfg.HostProc),
		sessions: &atomic.Pointer[exec.Sessions]{}, built: map[string]collector{},
	}
	defer func() { _ = d.local.Close() }()
	for _, p := range parts() {
		if !p.wanted(cfg) {
			continue
		}
		s, err := p.build(d)
		if err != nil {
			all = append(all, missing(p, err))
			continue
		}
		all = append(all, s.Capabilities()...)
		d.built[p.name] = s
		defer s.Close()
	}
	r := probe.NewReport(cfg.Version, probe.Gather(probe.SystemPaths()), all)
	r.Limits = limitLines(cfg)
	if x, ok := d.built["l7"].(*exchanges); ok {
		r.TLS = x.tlsProcesses()
	}
	if asJSON {
		if err := r.JSON(w); err != nil {
			return err
		}
	} else {
		r.Text(w)
	}
	if lost := r.Missing(); len(lost) > 0 {
		return fmt.Errorf("missing: %s", strings.Join(lost, ", "))
	}
	return nil
}

// missing is the capability of a part that could not be built.
func missing(p part, err error) probe.Capability {
	c := probe.Capability{Name: p.capability, Feature: p.capability}
	if err != nil {
		c.Failed = []probe.Attempt{{Door: "any", Why: err.Error()}}
	}
	return c
}
