// Package probe deals with the kernel that is really there: it climbs the
// ladder of doors of each capability, trying every rung for real, and it
// gathers the facts that `weft doctor` prints.
package probe

import (
	"errors"
	"fmt"
)

// Rung is one door of a capability.
type Rung struct {
	// Door names the kernel mechanism, e.g. "tp_btf", "fentry", "kprobe".
	Door string
	// Cost says in a few words what this door costs and whom.
	Cost string
	// Try opens the door for real and leaves it open. When it fails it must
	// leave nothing behind.
	Try func() error
}

// Attempt is a rung that was tried and did not hold.
type Attempt struct {
	Door string `json:"door"`
	// Why is the error, in one line.
	Why string `json:"why"`
}

// Capability is the outcome of a ladder: what works, through which door, and
// why the better doors did not open.
type Capability struct {
	// Name is the capability, e.g. "tcp connections".
	Name string `json:"name"`
	// Feature is what a user loses without it, e.g. "netflow (TCP)".
	Feature string `json:"feature"`
	// Door in use; "" when no rung held.
	Door string `json:"door"`
	// Cost of the door in use.
	Cost string `json:"cost,omitempty"`
	// Failed are the rungs tried before the door, best first.
	Failed []Attempt `json:"failed,omitempty"`
	// Advice says what to do about a missing or second-best door; "" if nothing.
	Advice string `json:"advice,omitempty"`
}

// OK tells whether some door opened.
func (c Capability) OK() bool { return c.Door != "" }

// Err is nil when some door opened, else one line naming every failure.
func (c Capability) Err() error {
	if c.OK() {
		return nil
	}
	errs := make([]error, 0, len(c.Failed))
	for _, a := range c.Failed {
		errs = append(errs, fmt.Errorf("%s: %s", a.Door, a.Why))
	}
	return fmt.Errorf("%s: no door opened: %w", c.Name, errors.Join(errs...))
}

// Climb tries the rungs, best first, and stops at the first that holds.
func Climb(name, feature string, rungs ...Rung) Capability {
	c := Capability{Name: name, Feature: feature}
	for _, r := range rungs {
		if err := r.Try(); err != nil {
			c.Failed = append(c.Failed, Attempt{Door: r.Door, Why: oneLine(err)})
			continue
		}
		c.Door, c.Cost = r.Door, r.Cost
		break
	}
	return c
}

// oneLine cuts the verifier's log, which cilium/ebpf appends line by line.
func oneLine(err error) string {
	s := err.Error()
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}
