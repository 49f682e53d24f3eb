package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"weft/test/bench/commands"
)

// report is everything one invocation found.
type report struct {
	Host        hostInfo         `json:"host"`
	Args        []string         `json:"args"`
	Command     string           `json:"command"`
	FullCommand string           `json:"full_command"`
	IdleCommand string           `json:"idle_command"`
	FirstRecord float64          `json:"first_record_s"`
	Workloads   []workloadResult `json:"workloads"`
	Idle        []idleResult     `json:"idle"`

	Commands []commands.Result `json:"commands,omitempty"`
}

// workloadResult is one workload's.
type workloadResult struct {
	Name    string        `json:"name"`
	Unit    string        `json:"unit"`
	Paired  pairedResult  `json:"paired"`
	Account accountResult `json:"account"`
}

// counted says in a few words whether the collector's sums are the load's.
func (w workloadResult) counted() string { return counted(w.Account.Compared, w.Account.LoadError) }

func counted(all []comparison, loadError string) string {
	bad := len(differing(all))
	switch {
	case loadError != "":
		return "**the load failed**"
	case len(all) == 0:
		return "not compared"
	case bad > 0:
		return fmt.Sprintf("**%d of %d figures differ**", bad, len(all))
	}
	return fmt.Sprintf("exact (%d figures)", len(all))
}

// verdict is an error when anything was not counted exactly.
func (r *report) verdict() error {
	var errs []error
	complain := func(name, loadError string, all []comparison) {
		if loadError != "" {
			errs = append(errs, fmt.Errorf("%s: the load itself failed: %s", name, loadError))
		}
		for _, c := range differing(all) {
			errs = append(errs, fmt.Errorf("%s: NOT EXACT: %s", name, c))
		}
	}
	for _, w := range r.Workloads {
		complain(w.Name, w.Account.LoadError, w.Account.Compared)
	}
	for _, c := range r.Commands {
		errs = append(errs, c.Verdict())
	}
	for _, i := range r.Idle {
		complain(idleName+" "+i.Order, "", i.Compared)
	}
	return errors.Join(errs...)
}

// markdown is the part of docs/performance.md between the markers.
func (r *report) markdown() string {
	var b strings.Builder
	h := r.Host
	fmt.Fprintf(&b, "Taken %s on Linux %s, %s, %d CPUs, %.0f GiB; load average before %s, after %s.\n\n",
		h.Date, h.Kernel, h.Machine, h.CPUs, h.MemoryGiB, h.LoadBefore, h.LoadAfter)
	fmt.Fprintf(&b, "    go run ./test/bench %s\n    collector: %s\n    of http_*_l7, dns, h2: %s\n    version:   %s\n",
		quoted(r.Args), r.Command, r.FullCommand, h.Version)
	if r.FirstRecord > 0 {
		fmt.Fprintf(&b, "\nStart to first record: %.2f s.\n", r.FirstRecord)
	}
	r.pairedTable(&b)
	r.costTable(&b)
	r.programTable(&b)
	r.countTable(&b)
	r.idleTable(&b)
	b.WriteString(commands.Table(r.Commands))
	return b.String()
}

// quoted is a command line as a shell would read it.
func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \"$*\\") {
			words[i] = "'" + a + "'"
		}
	}
	return strings.Join(words, " ")
}

func (r *report) pairedTable(b *strings.Builder) {
	b.WriteString("\n### Paired: without and with\n\n" +
		"| workload | per second without → with | CPU s per unit without → with | load × | total × | A/A × |\n" +
		"|---|---|---|---|---|---|\n")
	for _, w := range r.Workloads {
		p := w.Paired
		if len(p.Load) == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s | %s → %s | %.2f → %.2f /%s | %s | **%.3f** (%s) | %s |\n", w.Name,
			rate(w.Unit, p.RateWithout), rate(w.Unit, p.RateWith), p.CPUWithout, p.CPUWith, w.Unit,
			p.Load, p.Total.mean(), p.Total.list(), p.Control)
	}
}

func rate(unit string, v float64) string {
	if unit == "GB" {
		return fmt.Sprintf("%.2f GB", v)
	}
	return group(int64(v))
}

// String is the mean with the single ratios behind it.
func (r ratios) String() string {
	if len(r) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%.3f (%s)", r.mean(), r.list())
}

func (r ratios) list() string {
	var words []string
	for _, v := range r {
		words = append(words, fmt.Sprintf("%.3f", v))
	}
	return strings.Join(words, " ")
}

func (r *report) costTable(b *strings.Builder) {
	b.WriteString("\n### Accounting run\n\n" +
		"| workload | operations | BPF runs/op | ns/run p25 | BPF s per unit p25 (mean) | collector s per unit |" +
		" collector idle ms/s | RSS MB rest/load/peak | maps MB | counted |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, w := range r.Workloads {
		a := w.Account
		ops := group(int64(a.Ops))
		if w.Unit == "GB" {
			ops = fmt.Sprintf("%.2f GB", a.Ops)
		}
		fmt.Fprintf(b, "| %s | %s | %.4f | %.0f | **%.4f** (%.4f) /%s | **%.4f** /%s | %.2f | %.0f/%.0f/%.0f | %.1f | %s |\n",
			w.Name, ops, a.runsPerOp(), a.nsPerRun(), a.BPF, a.BPFMean, w.Unit, a.Collector, w.Unit,
			a.IdleCPU*1e3, a.RestMB, a.LoadMB, a.PeakMB, a.MapMB, w.counted())
	}
}

func (r *report) programTable(b *strings.Builder) {
	b.WriteString("\n### Programs that ran\n\n" +
		"| workload | program | runs | runs/op | ns/run p25 (mean) | missed |\n|---|---|---|---|---|---|\n")
	for _, w := range r.Workloads {
		for _, p := range w.Account.Programs {
			fmt.Fprintf(b, "| %s | %s | %s | %.5f | %.0f (%.0f) | %s |\n", w.Name, p.Name, group(int64(p.Runs)),
				p.RunsPerOp, p.LowNsPerRun, p.NsPerRun, group(int64(p.Missed)))
		}
	}
}

func (r *report) countTable(b *strings.Builder) {
	figures := countedFigures()
	b.WriteString("\n### Counted against the load's own count\n\n| workload | end | " + strings.Join(figures, " | ") +
		" |\n|" + strings.Repeat("---|", len(figures)+2) + "\n")
	rows := func(name string, all []comparison) {
		for _, end := range []string{"client", "server"} {
			if len(all) > 0 {
				fmt.Fprintf(b, "| %s | %s | %s |\n", name, end, strings.Join(cells(all, end, figures), " | "))
			}
		}
	}
	for _, w := range r.Workloads {
		rows(w.Name, w.Account.Compared)
	}
	for _, i := range r.Idle {
		rows(idleName+" "+i.Order, i.Compared)
	}
}

// countedFigures is their order in the table.
func countedFigures() []string {
	return []string{established, closed, connectFailed, bytesRead, bytesWritten, packetsRead, packetsWritten,
		exchanges, exchangeRead, exchangeWritten, odd, strangers}
}

// cells are one end's figures. A plain number is both counted and expected.
func cells(all []comparison, end string, figures []string) []string {
	out := make([]string, len(figures))
	for _, c := range all {
		i := slices.Index(figures, c.Figure)
		if c.End != end || i < 0 {
			continue
		}
		expected := bounds{c.Low, c.High}
		switch {
		case !c.exact():
			out[i] = fmt.Sprintf("**%s, expected %s**", group(c.Counted), expected)
		case c.Low != c.High:
			out[i] = fmt.Sprintf("%s (%s)", group(c.Counted), expected)
		default:
			out[i] = group(c.Counted)
		}
	}
	return out
}

func (r *report) idleTable(b *strings.Builder) {
	if len(r.Idle) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### Idle connections\n\n    collector: %s\n\n"+
		"| connections | opened | window s | collector ms/s without → with them | BPF ms/s | start CPU s |"+
		" RSS MB without → with | maps MB | missed | counted |\n|---|---|---|---|---|---|---|---|---|---|\n", r.IdleCommand)
	for _, i := range r.Idle {
		fmt.Fprintf(b, "| %s | %s the collector | %.0f | %.2f → **%.2f** | %.2f | %.3f | %.0f → %.0f | %.1f | %s | %s |\n",
			group(i.Connections), i.Order, i.Window, i.EmptyMsPerSecond, i.MsPerSecond, i.BPFMsPerSecond,
			i.SettleSeconds, i.EmptyMB, i.RSSMB, i.MapMB, group(int64(i.Missed)), counted(i.Compared, ""))
	}
}

// The markers between which a document's tables are replaced.
const (
	beginMarker = "<!-- bench:begin -->\n"
	endMarker   = "<!-- bench:end -->"
)

// rewrite replaces what is between the markers of a document.
func rewrite(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(old), beginMarker)
	_, tail, ended := strings.Cut(rest, endMarker)
	if !found || !ended {
		return fmt.Errorf("%s lacks the lines %q and %q", path, strings.TrimSpace(beginMarker), endMarker)
	}
	return os.WriteFile(path, []byte(head+beginMarker+"\n"+text+"\n"+endMarker+tail), 0o644)
}

// appendJSON adds the report as one line.
func (r *report) appendJSON(path string) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
