package config

import (
	"slices"

	"weft/limit"
)

// budget derives from mem_limit the sizes that are not given, and refuses a
// limit that cannot be kept to whatever is left out.
func (l *loader) budget() {
	c := l.cfg
	if c.Limits.Mem == 0 {
		return
	}
	var wrong string
	c.Tables, wrong = limit.Plan{
		Mem: c.Limits.Mem, TLS: slices.Contains(c.L7.Enabled, "httpflow-tls"), Path: c.L7.MaxPath,
		Sizes: map[string]*int{
			"max_sockets": &c.Netflow.MaxSockets, "max_flows": &c.Netflow.MaxFlows, "l7_max_conns": &c.L7.MaxConns,
			"l7_ring_size": &c.L7.RingSize, "l7_max_rows": &c.L7.MaxRows,
		},
		Given: func(key string) bool { _, ok := l.given(key); return ok },
	}.Derive()
	if at, _ := l.given("mem_limit"); wrong != "" {
		l.fail(at, wrong)
	}
}
