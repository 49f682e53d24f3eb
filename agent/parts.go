package agent

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"weft/config"
	"weft/enrich/domain"
	"weft/enrich/localip"
	"weft/enrich/selection"
	"weft/ledger"
	"weft/probe"
	"weft/protocol"
	"weft/protocol/dns"
	"weft/protocol/http1"
	"weft/protocol/http2"
	"weft/source"
	"weft/source/bash"
	"weft/source/conn"
	"weft/source/exec"
)

// collector is a source that tells which doors it uses.
type collector interface {
	source.Source
	Capabilities() []probe.Capability
	Close()
}

// deps is what parts are built from.
type deps struct {
	cfg     *config.Config
	led     *ledger.Ledger
	log     *slog.Logger
	domains *domain.Cache
	local   *localip.Resolver
	// sessions is where the pipeline finds what ties flows to commands.
	sessions *atomic.Pointer[exec.Sessions]
	// built are the parts before this one in the list that run.
	built map[string]collector
}

// part is one line of the list of sources.
type part struct {
	name string
	// capability is what is reported missing when build fails.
	capability string
	wanted     func(*config.Config) bool
	build      func(deps) (collector, error)
	// auxiliary: it collects nothing itself, and others are built on it, so that
	// it starts and stops with the process only.
	auxiliary bool
}

// parts lists the sources, in the order in which they start.
func parts() []part {
	return []part{
		{name: "nat", capability: "ebpf-conntrack", wanted: wantsNAT, build: newNAT, auxiliary: true},
		{
			name: "conn", capability: "netflow", wanted: plugin("ebpf-net"),
			build: func(d deps) (collector, error) { return conn.New(d.cfg, d.nat(), d.led, d.log) },
		},
		{name: "l7", capability: "httpflow, dnsflow", wanted: wantsL7, build: newExchanges},
		{name: "exec", capability: "programs", wanted: wantsSessions, build: newPrograms},
		{name: "bash", capability: "readline", wanted: plugin("ebpf-bash"), build: newShells},
	}
}

func wantsL7(c *config.Config) bool {
	return plugin("ebpf-net")(c) && (c.L7.DNS || len(c.L7.Enabled) > 0)
}

// wantsSessions: bash records carry the session too.
func wantsSessions(c *config.Config) bool { return plugin("ebpf-exec")(c) || plugin("ebpf-bash")(c) }

func newPrograms(d deps) (collector, error) {
	s, err := exec.New(d.cfg, exec.Options{Container: func(pid uint32) (string, bool) {
		return selection.Container(d.cfg.HostProc, pid)
	}}, d.led, d.log)
	if err != nil {
		return nil, err
	}
	d.sessions.Store(s.Sessions())
	return s, nil
}

func newShells(d deps) (collector, error) {
	return bash.New(d.cfg, bash.Options{Session: d.sessions.Load().Of}, d.led, d.log)
}

func wantsNAT(c *config.Config) bool { return plugin("ebpf-net")(c) && plugin("ebpf-conntrack")(c) }

func plugin(name string) func(*config.Config) bool {
	return func(c *config.Config) bool { return slices.Contains(c.EnabledPlugins, name) }
}

// notBuilt names what the configuration asks for and this version lacks.
func notBuilt(c *config.Config) []string {
	var missing []string
	for _, name := range c.EnabledPlugins {
		if !slices.Contains([]string{"ebpf-net", "ebpf-conntrack", "ebpf-bash", "ebpf-exec"}, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// protocols lists what the engine knows, in the order of detection. A protocol
// is a folder below protocol/ and a line here.
func protocols(c *config.Config) []protocol.Protocol {
	http := c.L7
	return []protocol.Protocol{
		http1.New(http1.Options{MaxPath: http.MaxPath, KeepQuery: http.KeepQuery}),
		http2.New(http2.Options{MaxPath: http.MaxPath, KeepQuery: http.KeepQuery}),
		dns.New(),
	}
}
