package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"weft/config"
	"weft/web"
)

// limitLines says which limits are set, which sizes follow, and what a
// collector that runs with this configuration leaves out at the moment.
func limitLines(c *config.Config) (lines []string) {
	l := c.Limits
	if l.CPU > 0 {
		lines = append(lines, fmt.Sprintf("cpu_limit %.3g cores", l.CPU))
	}
	if l.Mem > 0 {
		lines = append(lines, fmt.Sprintf("mem_limit %.1f MiB: max_sockets %d, max_flows %d, l7_max_conns %d, "+
			"l7_ring_size %d MiB, l7_max_rows %d", float64(l.Mem)/(1<<20), c.Netflow.MaxSockets, c.Netflow.MaxFlows,
			c.L7.MaxConns, c.L7.RingSize, c.L7.MaxRows))
	}
	if l.Net > 0 {
		lines = append(lines, fmt.Sprintf("net_limit %.1f MiB/s, each network card and direction", float64(l.Net)/(1<<20)))
	}
	if len(lines) == 0 {
		return nil
	}
	lines = append(lines, "limit_action "+l.Action)
	return append(lines, leftOut(c.Listen)...)
}

// leftOut asks the collector that serves at the address.
func leftOut(listen string) []string {
	if listen == "" {
		return nil
	}
	client := http.Client{Timeout: time.Second}
	res, err := client.Get("http://" + listen + "/healthz")
	if err != nil {
		return []string{"no collector runs at " + listen}
	}
	defer res.Body.Close()
	var health struct {
		Shedding *web.Shedding `json:"shedding"`
	}
	switch err := json.NewDecoder(res.Body).Decode(&health); {
	case err != nil:
		return []string{"what serves at " + listen + " is no collector"}
	case health.Shedding == nil:
		return []string{"the collector at " + listen + " leaves nothing out"}
	}
	s := health.Shedding
	lines := []string{
		fmt.Sprintf("the collector at %s has taken step %d of %d, because of %s", listen, s.Step, s.Of, s.Cause),
	}
	for _, what := range s.LeftOut {
		lines = append(lines, "left out: "+what)
	}
	return lines
}
