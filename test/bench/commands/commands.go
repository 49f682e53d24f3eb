// Package commands measures what the command audit costs: per program that is
// started, and per line that is typed into bash.
package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"weft/test/terminal"
)

// Names are the workloads.
func Names() []string { return []string{"exec", "bash"} }

// Collector is the collector under test.
type Collector interface {
	// Start starts it anew and waits until it has settled.
	Start(context.Context) error
	// CPU is the CPU time that it has used, in seconds.
	CPU() float64
	// Stop ends it and returns the file with its rows.
	Stop() (string, error)
}

// Result is one workload's. Costs are CPU µs per operation, of the load alone
// and with the collector's own.
type Result struct {
	Name       string    `json:"name"`
	Operations int       `json:"operations"`
	Without    []float64 `json:"without_us"`
	With       []float64 `json:"with_us"`
	Total      []float64 `json:"total_us"`
	// Collector is the collector's own part of Total.
	Collector []float64 `json:"collector_us"`
	// Started and Ended are rows that the collector made of the load, in each run.
	Started []int `json:"started"`
	Ended   []int `json:"ended"`
}

// Amounts are the operations of a run.
const (
	programs = 10_000
	lines    = 1_000
)

// Run measures one workload in the order A B B A, reps times.
func Run(ctx context.Context, name string, c Collector, reps int) (Result, error) {
	r := Result{Name: name, Operations: programs}
	do := load(startPrograms)
	if name == "bash" {
		r.Operations, do = lines, typeLines
	}
	for range reps {
		for _, with := range []bool{false, true, true, false} {
			if err := r.one(ctx, c, do, with); err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return r, nil
}

// load does all operations and returns the CPU time that they took.
type load func(context.Context) (time.Duration, error)

func (r *Result) one(ctx context.Context, c Collector, load load, with bool) error {
	per := func(seconds float64) float64 { return seconds * 1e6 / float64(r.Operations) }
	if !with {
		used, err := load(ctx)
		r.Without = append(r.Without, per(used.Seconds()))
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	before := c.CPU()
	used, err := load(ctx)
	if err == nil {
		// What is in flight is reported within this time.
		time.Sleep(time.Second)
	}
	own := c.CPU() - before
	path, serr := c.Stop()
	if err := errors.Join(err, serr); err != nil {
		return err
	}
	r.With = append(r.With, per(used.Seconds()))
	r.Total = append(r.Total, per(used.Seconds()+own))
	r.Collector = append(r.Collector, per(own))
	return r.count(path)
}

const mark = "weft-bench"

// startPrograms has a shell start programs one after another; it returns their
// CPU time and the shell's.
func startPrograms(ctx context.Context) (time.Duration, error) {
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do /bin/true %s; i=$((i+1)); done`, programs, mark)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("start programs: %w: %s", err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// typeLines types into a bash and returns its CPU time.
func typeLines(ctx context.Context) (time.Duration, error) {
	p, err := terminal.Start(exec.Command("bash", "--norc", "--noprofile", "-i"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.Close() }()
	if _, err := p.Await(terminal.First); err != nil {
		return 0, err
	}
	for i := range lines {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if _, err := p.Enter(fmt.Sprintf(": %s %d", mark, i), terminal.First); err != nil {
			return 0, err
		}
	}
	if err := p.Type("exit 0\n"); err != nil {
		return 0, err
	}
	if err := p.Cmd.Wait(); err != nil {
		return 0, fmt.Errorf("bash: %w", err)
	}
	return p.Cmd.ProcessState.UserTime() + p.Cmd.ProcessState.SystemTime(), nil
}

// count looks for the load's rows.
func (r *Result) count(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	started, ended := 0, 0
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var row struct {
			Name   string
			Tags   struct{ Event string }
			Fields struct {
				Cmd  string
				Code *int `json:"exit_code"`
			}
		}
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read the collector's rows: %w", err)
		}
		program := row.Name == "exec" && row.Fields.Cmd == "/bin/true "+mark
		switch {
		case r.Name == "exec" && program && row.Tags.Event == "start",
			r.Name == "bash" && row.Name == "bash" && strings.HasPrefix(row.Fields.Cmd, ": "+mark+" "):
			started++
		case r.Name == "exec" && program && row.Tags.Event == "exit" && row.Fields.Code != nil && *row.Fields.Code == 0:
			ended++
		}
	}
	r.Started, r.Ended = append(r.Started, started), append(r.Ended, ended)
	return nil
}

// Verdict is an error when not every operation was told of.
func (r Result) Verdict() error {
	for i := range r.Started {
		if r.Started[i] != r.Operations || r.Name == "exec" && r.Ended[i] != r.Operations {
			return fmt.Errorf("%s: NOT EXACT: %d started and %d ended of %d", r.Name, r.Started[i], r.Ended[i], r.Operations)
		}
	}
	return nil
}

// Table is the part of docs/performance.md.
func Table(all []Result) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n### Commands\n\n" +
		"| workload | operations | CPU µs per operation without → with | with the collector's own | of it the collector " +
		"| counted |\n" +
		"|---|---|---|---|---|---|\n")
	for _, r := range all {
		counted := "exact"
		if err := r.Verdict(); err != nil {
			counted = "**" + err.Error() + "**"
		}
		fmt.Fprintf(&b, "| %s | %d | %s → %s | **%s** | %s | %s |\n", r.Name, r.Operations, list(r.Without), list(r.With),
			list(r.Total), list(r.Collector), counted)
	}
	return b.String()
}

// list is the mean and the single values.
func list(values []float64) string {
	sum, words := 0.0, make([]string, len(values))
	for i, v := range values {
		sum += v
		words[i] = fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f (%s)", sum/float64(max(1, len(values))), strings.Join(words, " "))
}
