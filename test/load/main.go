// Load makes bounded TCP and UDP traffic and prints what it really did.
//
//	load tcp-server -listen 0.0.0.0:9301 [-procs N]
//	load tcp-churn  -to 198.18.1.1:9301 -hosts 200 -n 100000 -workers 8
//	load tcp-idle   -to 198.18.1.1:9311 -hosts 200 -n 50000 -procs 3 -hold 60s
//	load udp-server -listen 198.18.1.1:9401 [-hosts 200] [-silent]
//	load udp-client -to 198.18.1.1:9401 [-hosts 200] -n 500000 -size 64 [-unconnected]
//	load udp-blast  -to 198.18.1.1:9401 -n 1000000 -size 64 -rate 50000
//	load dns-client -to 198.18.0.2:53 -n 200000 -names a.test/A,b.test/AAAA [-per-socket 1] [-tcp] [-edns]
//
// Every run is bounded by -n and -limit and ends early on SIGINT or SIGTERM.
// Its last line of output is one JSON object with its own exact count (see
// traffic.Result). The servers and tcp-idle, which hold on, first print such a
// line with "ready": true. With -procs N the work is split over N processes,
// process i using the port i above the given one: the hard limit of open files
// may allow only 20,000 each.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"weft/test/load/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// options are the flags of all modes; each mode reads those it needs.
type options struct {
	mode        string
	listen, to  netip.AddrPort
	hosts       int
	n           int64
	limit, hold time.Duration
	workers     int
	size        int
	rate        float64
	procs       int
	perSocket   int
	reset       bool
	silent      bool
	unconnected bool
	dns         dnsOptions
}

// dnsOptions are those of dns-client alone.
type dnsOptions struct {
	names     string
	tcp, edns bool
	timeout   time.Duration
	attempts  int
}

// grace is how long after the limit whatever still runs is cut off.
const grace = 10 * time.Second

const defaultPort = "127.0.0.1:9301"

func parse(args []string) (options, error) {
	if len(args) == 0 {
		return options{}, errors.New("which mode? tcp-server, tcp-churn, tcp-idle, udp-server, udp-client, udp-blast, " +
			"dns-client")
	}
	o := options{mode: args[0]}
	f := flag.NewFlagSet("load "+o.mode, flag.ContinueOnError)
	listen := f.String("listen", defaultPort, "servers: first address")
	to := f.String("to", defaultPort, "clients: first server address")
	f.IntVar(&o.hosts, "hosts", 1, "consecutive server addresses from the first on")
	f.Int64Var(&o.n, "n", 1000, "connections, requests or datagrams")
	f.DurationVar(&o.limit, "limit", 10*time.Minute, "end after this time whatever is left")
	f.DurationVar(&o.hold, "hold", time.Minute, "tcp-idle: how long to hold the connections")
	f.IntVar(&o.workers, "workers", 8, "tcp-churn, udp-client, dns-client: side by side")
	f.IntVar(&o.size, "size", 64, "bytes per connection or datagram")
	f.Float64Var(&o.rate, "rate", 0, "tcp-churn, udp-blast: per second; 0 is unlimited")
	f.IntVar(&o.procs, "procs", 1, "tcp-server, tcp-idle: processes, each with a port of its own")
	f.IntVar(&o.perSocket, "per-socket", 0, "udp-client, dns-client: requests per connected socket; 0 keeps it")
	f.BoolVar(&o.reset, "reset", false, "tcp-churn: close with RST")
	f.BoolVar(&o.silent, "silent", false, "udp-server: count only")
	f.BoolVar(&o.unconnected, "unconnected", false, "udp-client: one unconnected socket per worker")
	f.StringVar(&o.dns.names, "names", "example.test/A", "dns-client: name/TYPE, comma-separated; %d in it is a number")
	f.BoolVar(&o.dns.tcp, "tcp", false, "dns-client: over TCP")
	f.BoolVar(&o.dns.edns, "edns", false, "dns-client: with an OPT record")
	f.DurationVar(&o.dns.timeout, "timeout", 2*time.Second, "dns-client: how long an answer is waited for")
	f.IntVar(&o.dns.attempts, "attempts", 1, "dns-client: how often a query is sent")
	if err := f.Parse(args[1:]); err != nil {
		return o, err
	}
	var lerr, terr error
	o.listen, lerr = netip.ParseAddrPort(*listen)
	o.to, terr = netip.ParseAddrPort(*to)
	return o, errors.Join(lerr, terr)
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	// A client ends by itself at the limit, with nothing half done.
	ctx, cancel := context.WithTimeout(ctx, o.limit+grace)
	defer cancel()
	var result traffic.Result
	if o.procs > 1 {
		result, err = fanOut(ctx, o)
	} else {
		result, err = o.generate(ctx)
		result.CPUSeconds = cpuSeconds()
	}
	return errors.Join(err, emit(result))
}

func (o options) generate(ctx context.Context) (traffic.Result, error) {
	at := traffic.Targets{First: o.to, Hosts: o.hosts}
	ready := func(n int64) {
		_ = emit(traffic.Result{Mode: o.mode, Ready: true, Connections: n})
	}
	switch o.mode {
	case "tcp-server":
		return traffic.TCPServer(ctx, o.listen, func(netip.AddrPort) { ready(0) })
	case "tcp-churn":
		return traffic.TCPChurn(ctx, traffic.Churn{Targets: at, N: o.n, Limit: o.limit,
			Workers: o.workers, Size: o.size, Rate: o.rate, Reset: o.reset}), nil
	case "tcp-idle":
		return traffic.TCPIdle(ctx, traffic.Idle{Targets: at, N: o.n, Hold: o.hold}, ready)
	case "udp-server":
		at.First = o.listen
		return traffic.UDPServer(ctx, traffic.UDPServe{Targets: at, Silent: o.silent}, func() { ready(0) })
	case "udp-client":
		return traffic.UDPClient(ctx, traffic.Requests{Targets: at, N: o.n, Limit: o.limit, Workers: o.workers,
			Size: o.size, Unconnected: o.unconnected, PerSocket: o.perSocket})
	case "udp-blast":
		return traffic.UDPBlast(ctx, traffic.Blast{Targets: at, N: o.n, Limit: o.limit, Size: o.size, Rate: o.rate})
	case "dns-client":
		// Its workers block in system calls: a processor for each, so that none
		// waits until the scheduler notices that another one does.
		runtime.GOMAXPROCS(o.workers + 1)
		return traffic.DNSClient(ctx, traffic.DNSQueries{Server: o.to, Names: strings.Split(o.dns.names, ","), N: o.n,
			Limit: o.limit, Workers: o.workers, PerSocket: o.perSocket, TCP: o.dns.tcp, EDNS: o.dns.edns,
			Timeout: o.dns.timeout, Attempts: o.dns.attempts}), nil
	}
	return traffic.Result{}, fmt.Errorf("unknown mode %q", o.mode)
}

// emit prints one line; a half-printed count would be worse than none.
func emit(r traffic.Result) error {
	r.PID = os.Getpid()
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
