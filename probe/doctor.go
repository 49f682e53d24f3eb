package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Report is what `weft doctor` prints: what works and through which door, what
// does not and what to do, and the facts that this follows from.
type Report struct {
	Version      string       `json:"version"`
	Facts        Facts        `json:"facts"`
	Capabilities []Capability `json:"capabilities"`
	// TLS lists the processes that use TLS, when their plaintext is asked for.
	TLS []TLSProcess `json:"tls,omitempty"`
	// Limits says, a line each, which are set and what is left out because of them.
	Limits []string `json:"limits,omitempty"`
}

// TLSProcess is a process that uses TLS.
type TLSProcess struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	// Kind is what does its TLS: openssl, gnutls, go, …; File is where it is.
	Kind string `json:"kind"`
	File string `json:"file"`
	// Why its plaintext, or some of it, cannot be had; "" when it can.
	Reason string `json:"reason,omitempty"`
}

// NewReport adds the advice that follows from the facts to each capability
// that has none of its own.
func NewReport(version string, f Facts, capabilities []Capability) Report {
	r := Report{Version: version, Facts: f, Capabilities: make([]Capability, 0, len(capabilities))}
	for _, c := range capabilities {
		if c.Advice == "" {
			c.Advice = Advise(c, f)
		}
		r.Capabilities = append(r.Capabilities, c)
	}
	return r
}

// Missing names the capabilities that no door opened; `weft doctor` exits with
// a failure when there are any.
func (r Report) Missing() []string {
	var names []string
	for _, c := range r.Capabilities {
		if !c.OK() {
			names = append(names, c.Name)
		}
	}
	return names
}

// JSON writes the report as one indented object.
func (r Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// Text writes the report for a person; in colour if w is a terminal.
func (r Report) Text(w io.Writer) {
	ink := inkFor(w)
	fmt.Fprintf(w, "Weft %s on Linux %s %s: %s\n\n", r.Version, r.Facts.Kernel, r.Facts.Arch, r.verdict())
	r.capabilityTable(w, ink)
	fmt.Fprintln(w)
	r.tlsTable(w, ink)
	if len(r.Limits) > 0 {
		fmt.Fprintln(w, ink.bold("LIMITS")+"\n"+strings.Join(r.Limits, "\n")+"\n")
	}
	r.factTable(w, ink)
}

// tlsTable has a line for each process that uses TLS.
func (r Report) tlsTable(w io.Writer, ink ink) {
	if len(r.TLS) == 0 {
		return
	}
	fmt.Fprintln(w, ink.bold("PROCESSES WITH TLS"))
	for _, p := range r.TLS {
		state := ink.good("read")
		if p.Reason != "" {
			state = ink.bad("not read, " + p.Reason)
		}
		fmt.Fprintf(w, "%7d  %-15s  %-9s  %s  (%s)\n", p.PID, p.Name, p.Kind, state, p.File)
	}
	fmt.Fprintln(w)
}

func (r Report) verdict() string {
	missing := r.Missing()
	if len(missing) == 0 {
		return fmt.Sprintf("all %d capabilities work", len(r.Capabilities))
	}
	return fmt.Sprintf("%d of %d capabilities missing: %s",
		len(missing), len(r.Capabilities), strings.Join(missing, ", "))
}

// capabilityTable has a line for each capability and, indented, why the doors
// above the one in use did not open.
func (r Report) capabilityTable(w io.Writer, ink ink) {
	names, doors := len("CAPABILITY"), len("DOOR")
	for _, c := range r.Capabilities {
		names, doors = max(names, len(c.Name)), max(doors, len(doorText(c)))
	}
	fmt.Fprintln(w, ink.bold(fmt.Sprintf("%-*s  %-*s  %s", names, "CAPABILITY", doors, "DOOR", "FOR")))
	for _, c := range r.Capabilities {
		// Padded before it is coloured: colour codes have no width.
		door := fmt.Sprintf("%-*s", doors, doorText(c))
		paint := ink.good
		if !c.OK() {
			paint = ink.bad
		}
		fmt.Fprintf(w, "%-*s  %s  %s\n", names, c.Name, paint(door), c.Feature)
		detail(w, "cost", c.Cost)
		for _, a := range c.Failed {
			detail(w, "not", a.Door+": "+a.Why)
		}
		detail(w, "to do", c.Advice)
	}
}

func doorText(c Capability) string {
	if c.OK() {
		return c.Door
	}
	return "MISSING"
}

func (r Report) factTable(w io.Writer, ink ink) {
	fmt.Fprintln(w, ink.bold("FACTS"))
	f := r.Facts
	for _, row := range []struct {
		name string
		fact Fact
	}{
		{"BTF", f.BTF},
		{"lockdown", f.Lockdown},
		{"SELinux", f.SELinux},
		{"AppArmor", f.AppArmor},
		{"memlock limit", f.Memlock},
		{"cgroup", f.Cgroup},
		{"cgroup2 at", f.CgroupMount},
		{"kprobes", f.Kprobes},
		{"uprobes", f.Uprobes},
		{"tracefs", f.Tracefs},
		{"BPF JIT", f.JIT},
		{"unprivileged BPF", f.UnprivilegedBPF},
		{"BPF run stats", f.RunStats},
		{"pid namespace", f.PIDNamespace},
		{"pids match", f.PIDsMatch},
		{"net namespace", f.NetNamespace},
		{"nsfs device", f.NSDevice},
	} {
		factLine(w, row.name, row.fact.String())
	}
	f.Capabilities.text(w)
}

// text shows only what is missing: the full sets are in the JSON.
func (s CapabilitySet) text(w io.Writer) {
	switch {
	case s.Why != "":
		factLine(w, "capabilities", "unknown ("+s.Why+")")
	case len(s.Missing) == 0:
		factLine(w, "capabilities", "none missing")
	}
	for _, m := range s.Missing {
		withheld := ""
		if !m.Obtainable {
			withheld = "; not even in the bounding set"
		}
		factLine(w, "missing", m.Name+" ("+m.Buys+withheld+")")
	}
}
