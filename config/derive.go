package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// derive works out the defaults that depend on other keys or on the machine.
func (l *loader) derive(environ []string) {
	c := l.cfg
	c.Netflow.EphemeralPort = max(c.Netflow.EphemeralPort, 0)
	c.Hostname = firstOf(c.Hostname, c.Tags["host"], osHostname(), "no-value")
	if len(c.Sinks) == 0 {
		c.Sinks = []string{"stdout"}
		if _, given := l.given("datakit_apiserver"); given {
			c.Sinks = []string{"datakit"}
		}
	}
	if c.HostProc == "" {
		c.HostProc = filepath.Join("/", c.HostRoot, "proc")
	}
	if c.StateDir == "" {
		c.StateDir = stateDir(environ, writable)
	}
	if c.Linker.DBPath == "" {
		c.Linker.DBPath = filepath.Join(c.StateDir, "spandb")
	}
	c.Linker.Enabled = l.linker
	l.deriveTrace()
	l.deriveNetlog()
}

func (l *loader) deriveTrace() {
	for _, p := range l.cfg.EnabledPlugins {
		if p == "ebpf-trace" && l.cfg.Trace.Server == "" {
			l.cfg.Trace.Server = defaultServer
		}
	}
}

// deriveNetlog joins the two ways of turning the logs on. A DataKit that wants
// logs without metrics starts its child with --netlog-log alone, so there the
// missing --netlog-metric means false.
func (l *loader) deriveNetlog() {
	n := &l.cfg.Netlog
	n.Log = n.Log || !n.MetricOnly
	at, logGiven := l.given("netlog_log")
	_, metricGiven := l.given("netlog_metric")
	if logGiven && at.rank == rankFlag && n.Log && !metricGiven && !l.hasFile {
		n.Metric = false
	}
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

func osHostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// stateDir returns /var/lib/weft, or a directory below the user's own state
// directory when that cannot be written.
func stateDir(environ []string, writable func(string) bool) string {
	const system = "/var/lib/weft"
	if writable(system) {
		return system
	}
	vars := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	if dir := vars["XDG_STATE_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "weft")
	}
	if home := vars["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "weft")
	}
	return system
}

// writable tells whether dir, or the nearest directory above it that exists,
// can be written.
func writable(dir string) bool {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" {
			const write = 2 // W_OK of access(2)
			return syscall.Access(dir, write) == nil
		}
		dir = filepath.Dir(dir)
	}
}
