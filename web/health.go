package web

import (
	"encoding/json"
	"net/http"
	"time"
)

// Capability is one row of /healthz: what works and through which door.
type Capability struct {
	Name    string `json:"name"`
	Feature string `json:"feature,omitempty"`
	// Door in use; "" means that the capability is missing.
	Door string `json:"door"`
	// Advice says what to do about a missing or second-best door.
	Advice string `json:"advice,omitempty"`
}

// Health is what the agent says about itself.
type Health struct {
	// Dead says why nothing is collected at all; "" while something is.
	Dead string
	// Capabilities that were asked for; one without a door means degraded.
	Capabilities []Capability
	// Problems are further reasons to be degraded, e.g. a sink that is down.
	Problems []string
	// Shedding is nil while nothing is left out because of a limit.
	Shedding *Shedding
}

// Shedding is what the collector leaves out to stay within its limits.
type Shedding struct {
	Step    int      `json:"step"`
	Of      int      `json:"of"`
	LeftOut []string `json:"left_out"`
	// Cause is the limit that the last step was taken for, and its use then.
	Cause string `json:"cause"`
}

// The states of /healthz.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded"
	StatusDead     = "dead"
)

// Status is dead, degraded or ok.
func (h Health) Status() string {
	if h.Dead != "" {
		return StatusDead
	}
	if len(h.Problems) > 0 || h.Shedding != nil {
		return StatusDegraded
	}
	for _, c := range h.Capabilities {
		if c.Door == "" {
			return StatusDegraded
		}
	}
	return StatusOK
}

// report is the body of /healthz and the data of the status page.
type report struct {
	Status        string       `json:"status"`
	Reason        string       `json:"reason,omitempty"`
	Problems      []string     `json:"problems,omitempty"`
	Shedding      *Shedding    `json:"shedding,omitempty"`
	Capabilities  []Capability `json:"capabilities"`
	UptimeSeconds float64      `json:"uptime_seconds"`
	Version       string       `json:"version"`
}

func makeReport(o Options, start time.Time) report {
	h := o.Health()
	r := report{
		Status:        h.Status(),
		Reason:        h.Dead,
		Problems:      h.Problems,
		Shedding:      h.Shedding,
		Capabilities:  h.Capabilities,
		UptimeSeconds: time.Since(start).Round(time.Millisecond).Seconds(),
		Version:       o.Version,
	}
	if r.Capabilities == nil {
		r.Capabilities = []Capability{}
	}
	return r
}

// healthz answers 200 while something is collected, degraded or not: a
// supervisor that restarts on 503 must not restart for a missing kernel
// feature, which a restart does not bring back.
func healthz(o Options, start time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		rep := makeReport(o, start)
		w.Header().Set("Content-Type", "application/json")
		if rep.Status == StatusDead {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		// The only error here is a client that went away.
		_ = enc.Encode(rep)
	})
}
