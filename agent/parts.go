package agent

import (
	"log/slog"
	"slices"

	"weft/config"
	"weft/ledger"
	"weft/probe"
	"weft/source"
	"weft/source/conn"
)

// collector is a source that tells which doors it uses.
type collector interface {
	source.Source
	Capabilities() []probe.Capability
	Close()
}

// part is one line of the list of sources.
type part struct {
	name string
	// capability is what is reported missing when build fails.
	capability string
	wanted     func(*config.Config) bool
	build      func(*config.Config, *ledger.Ledger, *slog.Logger) (collector, error)
}

// parts lists the sources, in the order in which they start.
func parts() []part {
	return []part{{
		name: "conn", capability: "netflow", wanted: plugin("ebpf-net"),
		build: func(c *config.Config, l *ledger.Ledger, log *slog.Logger) (collector, error) {
			return conn.New(c, l, log)
		},
	}}
}

func plugin(name string) func(*config.Config) bool {
	return func(c *config.Config) bool { return slices.Contains(c.EnabledPlugins, name) }
}

// notBuilt names what the configuration asks for and this version lacks.
func notBuilt(c *config.Config) []string {
	var missing []string
	for _, name := range c.EnabledPlugins {
		if name != "ebpf-net" {
			missing = append(missing, name)
		}
	}
	return missing
}
