package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"weft/test/load/traffic"

	"weft/test/bench/usage"
)

// amount bounds one run of a client: by time, or by number where the client
// can. Exact says that the server is to count, too, whatever it costs.
type amount struct {
	limit time.Duration
	n     int64
	exact bool
}

// workload is one kind of load.
type workload struct {
	name string
	// unit is what costs are given per: "1M" operations or one "GB".
	unit string
	// full asks for the collector as it is by default, with httpflow.
	full bool
	// conntrack adds ebpf-conntrack to that, nat sends the client's connections
	// through a DNAT rule of its namespace.
	conntrack, nat bool
	// secret has it read what is inside TLS, too.
	secret bool
	// server and client are command lines in the lab.
	server func(*lab) ([]string, error)
	ready  bound
	client func(*lab, amount) []string
	// outcome reads what both ends and the kernel counted.
	outcome func(*finished) (outcome, error)
}

// per is the factor from one operation to the unit.
func (w workload) per() float64 {
	if w.unit == "GB" {
		return 1
	}
	return 1e6
}

// outcome is what a run did, as its own two ends counted it.
type outcome struct {
	ops, wall float64
	// failed says what went wrong in the load itself; "" when nothing did.
	failed string
	truth  truth
}

// finished is a run that is over.
type finished struct {
	lab                        *lab
	amount                     amount
	clientOut, serverOut       string
	clientCounts, serverCounts kernelCounts
}

// sample is a measured run.
type sample struct {
	outcome
	client, server, softirq float64
	// collector is the CPU time that the collector spent meanwhile.
	collector float64
}

// perOp is the CPU time of client, server and the kernel's network threads for
// one operation; total adds the collector's own.
func (s sample) perOp() float64 { return (s.client + s.server + s.softirq) / s.ops }
func (s sample) total() float64 { return s.perOp() + s.collector/s.ops }

// settleLoad is how long a server may take to notice that its client is gone.
const settleLoad = 300 * time.Millisecond

// run starts a server, runs a client against it to its end, and ends the
// server. The server is new each time so that its own count is of this run.
func (w workload) run(ctx context.Context, l *lab, a amount) (_ sample, err error) {
	if w.nat {
		if err := l.nft(natRules); err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, l.nft("delete table ip bench")) }()
	}
	argv, err := w.server(l)
	if err != nil {
		return sample{}, fmt.Errorf("preparing the server: %w", err)
	}
	server, err := spawn(l.server, nil, argv...)
	if err != nil {
		return sample{}, err
	}
	s, f, err := w.measure(ctx, l, a, server)
	if serr := server.stop(10 * time.Second); serr != nil || err != nil {
		return s, errors.Join(err, serr)
	}
	if err := l.awaitClosed(ctx); err != nil {
		return s, err
	}
	f.serverOut = server.out.text()
	s.outcome, err = w.outcome(f)
	if err != nil {
		return s, fmt.Errorf("reading the counts of %s: %w", w.name, err)
	}
	if s.ops <= 0 {
		return s, fmt.Errorf("%s did nothing: %s", w.name, f.clientOut)
	}
	return s, nil
}

func (w workload) measure(ctx context.Context, l *lab, a amount, server *process) (sample, *finished, error) {
	if err := l.server.awaitBound(ctx, w.ready); err != nil {
		return sample{}, nil, errors.Join(err, server.alive())
	}
	f := &finished{lab: l, amount: a}
	softirq := usage.SoftirqThreads()
	clientBefore, err := l.client.kernelCounts()
	if err != nil {
		return sample{}, nil, err
	}
	serverBefore, err := l.server.kernelCounts()
	if err != nil {
		return sample{}, nil, err
	}
	s := sample{server: -usage.CPU(usage.Tree(server.cmd.Process.Pid)), softirq: -usage.CPU(softirq)}
	f.clientOut, s.client, err = l.runClient(ctx, w.client(l, a))
	if err != nil {
		return s, f, errors.Join(err, server.alive())
	}
	if err := pause(ctx, settleLoad); err != nil {
		return s, f, err
	}
	s.server += usage.CPU(usage.Tree(server.cmd.Process.Pid))
	s.softirq += usage.CPU(softirq)
	clientAfter, cerr := l.client.kernelCounts()
	serverAfter, serr := l.server.kernelCounts()
	f.clientCounts, f.serverCounts = clientAfter.since(clientBefore), serverAfter.since(serverBefore)
	return s, f, errors.Join(cerr, serr)
}

// runClient runs a command to its end: what it printed and its own CPU time.
func (l *lab) runClient(ctx context.Context, argv []string) (string, float64, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := l.client.do(cmd.Start); err != nil {
		return "", 0, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	if err := cmd.Wait(); err != nil {
		return "", 0, fmt.Errorf("%v: %w\n%s%s", argv, err, out.Bytes(), complaint.Bytes())
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return out.String(), used.Seconds(), nil
}

func workloads() []workload {
	return []workload{httpKeepAlive(), httpClose(), iperf(), churn(), udp(), udpShort(),
		httpKeepAliveL7(), httpCloseL7(), dns(), h2(), httpsKeepAlive(), httpCloseConntrack(), httpCloseNAT()}
}

// loadResult is the count that our own generator prints last.
func loadResult(out string) (traffic.Result, error) {
	lines := bytes.Split(bytes.TrimSpace([]byte(out)), []byte("\n"))
	var r traffic.Result
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		return r, fmt.Errorf("the generator's count %q: %w", out, err)
	}
	return r, nil
}

// both is loadResult of the two ends.
func (f *finished) both() (client, server traffic.Result, err error) {
	client, cerr := loadResult(f.clientOut)
	server, serr := loadResult(f.serverOut)
	return client, server, errors.Join(cerr, serr)
}

// writeFile writes a file of the lab and returns its path.
func (l *lab) writeFile(name, text string) (string, error) {
	path := l.dir + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	return path, nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
