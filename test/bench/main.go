// Bench measures what a collector costs the machine that it watches, and
// whether it counts everything.
//
//	make bench                      all workloads, into docs/performance.md
//	go run ./test/bench -workloads http_ka,udp -reps 1 -duration 2s
//	go run ./test/bench -show-programs
//
// The load runs between two network namespaces of its own, so that nothing but
// loopback and a veth pair is touched. For each workload it is run without and
// with the collector in the order A B B A, and then once more under the
// kernel's BPF statistics, with both ends of the load counting: the collector's
// sums must equal theirs, or the run fails. docs/performance.md explains the
// method and the columns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"weft/test/bench/commands"

	"weft/test/bench/usage"
)

// The collector runs without httpflow, or as it is by default. It keeps client ports below those that
// the kernel hands out, so that iperf3's data stream, which has such a port, is
// a row of its own. BENCH_DIR is the scratch directory of the run.
const (
	defaultBase = `bin/weft run --sink stdout --listen off --state-dir "$BENCH_DIR"` +
		` --l7net-disabled httpflow,httpflow-tls --dnsflow=false --ephemeral-port 32768`
	defaultCommand = defaultBase + ` --interval 1s`
	defaultFull    = `bin/weft run --sink stdout --listen off --state-dir "$BENCH_DIR"` +
		` --ephemeral-port 32768 --interval 1s`
	defaultIdle = defaultBase + ` --interval 60s`
	// What was typed and started is told of at once; there are no intervals.
	defaultAudit = `bin/weft run --sink stdout --listen off --state-dir "$BENCH_DIR"` +
		` --enabled ebpf-bash,ebpf-exec --interval 60s`
)

// bench is one invocation.
type bench struct {
	lab                  *lab
	command, idleCommand string
	fullCommand          string
	auditCommand         string
	names                []string
	reps                 int
	duration             time.Duration
	accountTime          time.Duration
	settle, idle         time.Duration
	idleWindow           time.Duration
	connections          int64
	datagrams            int64
	requests             int64
	idleConnections      int64
	compare              bool
	programsOnly         bool
	doc, json            string
}

func parse(args []string) (*bench, error) {
	b := &bench{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := f.String("workloads", "", "comma-separated; all of them when empty: "+strings.Join(allNames(), ","))
	f.StringVar(&b.command, "cmd", defaultCommand, "the collector, a shell command; it may use $BENCH_DIR")
	f.StringVar(&b.fullCommand, "full-cmd", defaultFull, "the collector for http_*_l7, dns, h2 and https_ka")
	f.StringVar(&b.idleCommand, "idle-cmd", defaultIdle, "the collector for idle50k")
	f.StringVar(&b.auditCommand, "audit-cmd", defaultAudit, "the collector for exec and bash")
	f.IntVar(&b.reps, "reps", 2, "repetitions of A B B A; 0 leaves the paired runs out")
	f.DurationVar(&b.duration, "duration", 4*time.Second, "length of a paired run")
	f.DurationVar(&b.accountTime, "account", 8*time.Second, "length of an accounting run that has no number")
	f.Int64Var(&b.connections, "connections", 100_000, "connections of churn's accounting run")
	f.Int64Var(&b.datagrams, "datagrams", 1_000_000, "datagrams of the udp accounting runs")
	f.Int64Var(&b.requests, "requests", 400_000, "requests of h2's accounting run")
	f.DurationVar(&b.settle, "settle", 2*time.Second, "how long to leave the collector alone after its start")
	f.DurationVar(&b.idle, "idle", 8*time.Second, "how long to measure the collector without load")
	f.Int64Var(&b.idleConnections, "idle-connections", 50_000, "connections of idle50k")
	f.DurationVar(&b.idleWindow, "idle-window", time.Minute, "window of idle50k, a multiple of the interval")
	f.BoolVar(&b.compare, "compare", true, "compare the collector's sums with the load's own; false for other programs")
	f.BoolVar(&b.programsOnly, "show-programs", false, "show the BPF programs' run counts during keep-alive load, and end")
	f.StringVar(&b.doc, "doc", "", "Markdown file to write the tables into (docs/performance.md for all workloads)")
	f.StringVar(&b.json, "json", "dist/bench.jsonl", "file to append the results to; none when empty")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	f.Visit(func(set *flag.Flag) { given[set.Name] = true })
	// Some of the workloads would leave a document with holes.
	if *names == "" && !given["doc"] {
		b.doc = defaultDoc
	}
	b.names = allNames()
	if *names != "" {
		b.names = strings.Split(*names, ",")
	}
	for _, name := range b.names {
		if !slices.Contains(allNames(), name) {
			return nil, fmt.Errorf("no workload %q; there are %s", name, strings.Join(allNames(), ", "))
		}
	}
	return b, nil
}

// defaultDoc keeps the results of a run of everything.
const defaultDoc = "docs/performance.md"

// idleName is the workload that is not a load.
const idleName = "idle50k"

func allNames() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return append(append(names, commands.Names()...), idleName)
}

func (b *bench) collector() *collector { return &collector{command: b.command, settle: b.settle} }

// collectorFor is the collector under which a workload runs.
func (b *bench) collectorFor(w workload) *collector {
	c := b.collector()
	if w.full {
		c.command = b.fullCommand
	}
	if w.conntrack {
		c.command += " --enabled ebpf-net,ebpf-conntrack"
	}
	if w.secret {
		c.command += " --l7net-enabled httpflow,httpflow-tls"
	}
	return c
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	b, err := parse(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("namespaces and BPF statistics need root")
	}
	if b.lab, err = newLab(ctx); err != nil {
		return fmt.Errorf("making the lab: %w", err)
	}
	defer b.lab.close()
	if b.programsOnly {
		return b.showPrograms(ctx, os.Stdout)
	}
	r := &report{Host: host(), Args: args, Command: b.command, FullCommand: b.fullCommand, IdleCommand: b.idleCommand}
	if err := b.fill(ctx, r); err != nil {
		return err
	}
	r.Host.LoadAfter = usage.LoadAverage()
	fmt.Println(r.markdown())
	if err := b.keep(r); err != nil {
		return err
	}
	return r.verdict()
}

// wantsFlows: not only commands are measured.
func (b *bench) wantsFlows() bool {
	return slices.ContainsFunc(b.names, func(n string) bool { return !slices.Contains(commands.Names(), n) })
}

// audit is the collector as package commands sees it.
type audit struct {
	b *bench
	*collector
}

// Start implements commands.Collector.
func (a *audit) Start(ctx context.Context) error {
	a.collector = &collector{command: a.b.auditCommand, settle: a.b.settle}
	return a.start(ctx, a.b.lab)
}

// CPU implements commands.Collector.
func (a *audit) CPU() float64 { return a.cpu() }

// Stop implements commands.Collector.
func (a *audit) Stop() (string, error) { return a.path, a.stop() }

// fill runs everything that was asked for.
func (b *bench) fill(ctx context.Context, r *report) error {
	if b.compare && b.wantsFlows() {
		took, err := b.firstRecord(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the first record: %w", err)
		}
		r.FirstRecord = took.Seconds()
	}
	for _, w := range workloads() {
		if !slices.Contains(b.names, w.name) {
			continue
		}
		if err := b.workload(ctx, w, r); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for _, name := range commands.Names() {
		if !slices.Contains(b.names, name) {
			continue
		}
		result, err := commands.Run(ctx, name, &audit{b: b}, b.reps)
		if err != nil {
			return err
		}
		r.Commands = append(r.Commands, result)
	}
	if !slices.Contains(b.names, idleName) {
		return nil
	}
	for _, before := range []bool{false, true} {
		result, err := b.idleRun(ctx, before)
		if err != nil {
			return fmt.Errorf("%s: %w", idleName, err)
		}
		r.Idle = append(r.Idle, result)
		fmt.Fprintf(os.Stderr, "%s %s: %.2f ms/s\n", idleName, result.Order, result.MsPerSecond)
	}
	return nil
}

func (b *bench) workload(ctx context.Context, w workload, r *report) (err error) {
	result := workloadResult{Name: w.name, Unit: w.unit}
	if result.Account, err = b.account(ctx, w); err != nil {
		return fmt.Errorf("the accounting run: %w", err)
	}
	if result.Paired, err = b.paired(ctx, w); err != nil {
		return fmt.Errorf("the paired runs: %w", err)
	}
	r.Workloads = append(r.Workloads, result)
	fmt.Fprintf(os.Stderr, "%s: total × %s, BPF %.3f s and collector %.3f s per %s, %s\n", w.name,
		result.Paired.Total, result.Account.BPF, result.Account.Collector, w.unit, result.counted())
	return nil
}

// keep writes the results where they are to be kept.
func (b *bench) keep(r *report) error {
	if b.json != "" {
		if err := r.appendJSON(b.json); err != nil {
			return fmt.Errorf("keeping the results: %w", err)
		}
	}
	if b.doc != "" {
		if err := rewrite(b.doc, r.markdown()); err != nil {
			return fmt.Errorf("writing the tables: %w", err)
		}
	}
	return nil
}
