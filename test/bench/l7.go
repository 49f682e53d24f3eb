package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The workloads of this file run under the collector as it is by default:
// besides flows, its sums of requests and queries must be the load's own.

// detail says which measurement has a load's exchanges, and which of their
// outcomes there may be.
type detail struct {
	measurement string
	// outcome is a field, values what it may be.
	outcome string
	values  []int64
}

// httpKeepAliveL7 is http_ka under the default collector.
func httpKeepAliveL7() workload { return withRequests(httpKeepAlive(), "http_ka_l7") }

// httpCloseL7 is http_close under the default collector.
func httpCloseL7() workload { return withRequests(httpClose(), "http_close_l7") }

// httpCloseConntrack is http_close_l7 with ebpf-conntrack, and no NAT anywhere.
func httpCloseConntrack() workload {
	w := withRequests(httpClose(), "http_close_ct")
	w.conntrack = true
	return w
}

// httpCloseNAT is that with a DNAT rule, by which each connection goes.
func httpCloseNAT() workload {
	w := withRequests(httpClose(), "http_close_nat")
	w.conntrack, w.nat = true, true
	w.client = func(l *lab, a amount) []string {
		argv := wrk(l, a, "Connection: close")
		argv[len(argv)-1] = strings.Replace(argv[len(argv)-1], serverIP, firstOf, 1)
		return argv
	}
	return w
}

// natRules send what goes to nginx at another address to the server's.
const natRules = `table ip bench {
	chain out {
		type nat hook output priority -100
		ip daddr ` + firstOf + ` tcp dport { 80, 81 } dnat to ` + serverIP + `
	}
}`

func (l *lab) nft(rules string) error {
	cmd := exec.Command("nft", rules)
	var out []byte
	err := l.client.do(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		return fmt.Errorf("nft %s: %w\n%s", rules, err, out)
	}
	return nil
}

// withRequests compares httpflow with nginx's log, too.
func withRequests(w workload, name string) workload {
	w.name, w.full = name, true
	w.outcome = func(f *finished) (outcome, error) {
		o, err := httpOutcome(f)
		if err != nil || !f.amount.exact {
			return o, err
		}
		logged, err := f.lab.logLines()
		if err != nil {
			return o, err
		}
		o.truth.addRequests(logged, int64(o.ops))
		return o, nil
	}
	return w
}

// addRequests: what wrk sent last may be answered or not when it hangs up; the
// server has answered what it logged.
func (t *truth) addRequests(logged, completed int64) {
	t.detail = detail{"httpflow", "status_code", []int64{200, 0}}
	c, s := t.client.want, t.server.want
	c[exchanges], s[exchanges] = bounds{completed, logged + wrkConnections}, exactly(logged)
	c[exchangeRead], s[exchangeRead] = c[bytesRead], s[bytesRead]
	c[exchangeWritten], s[exchangeWritten] = c[bytesWritten], s[bytesWritten]
}

func (l *lab) logLines() (int64, error) {
	text, err := l.accessLog()
	return int64(strings.Count(text, "\n")), err
}

const (
	dnsPort = 53
	h2Port  = 9501
	h2Size  = 612
)

// dns asks dnsmasq, which logs nothing, over a new socket each time.
func dns() workload {
	return workload{
		name: "dns", unit: "1M", full: true,
		server: func(*lab) ([]string, error) {
			return []string{"dnsmasq", "-k", "-a", serverIP, "--bind-interfaces", "--no-resolv", "--no-hosts",
				"--conf-file=/dev/null", "--user=root", "--pid-file=", "--cache-size=0", "--address=/example.test/10.1.2.3"}, nil
		},
		ready: bound{"udp", []uint16{dnsPort}, 1},
		client: func(l *lab, a amount) []string {
			return []string{l.load, "dns-client", "-to", at(serverIP, dnsPort), "-n", a.number(), "-limit", a.limit.String(),
				"-workers", "8", "-per-socket", "1", "-names", "example.test/A"}
		},
		outcome: dnsOutcome,
	}
}

func dnsOutcome(f *finished) (outcome, error) {
	r, err := loadResult(f.clientOut)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{ops: float64(r.Ops), wall: r.WallSeconds, failed: witness(r, map[string][2]int64{
		"queries sent":     {r.SentPackets, f.clientCounts["UdpOutDatagrams"]},
		"queries received": {r.SentPackets, f.serverCounts["UdpInDatagrams"]},
		"answers sent":     {r.ReceivedPackets, f.serverCounts["UdpOutDatagrams"]},
		"good answers":     {r.Ops, r.Rcodes[0]},
	})}
	server := r
	server.SentBytes, server.ReceivedBytes = r.ReceivedBytes, r.SentBytes
	server.SentPackets, server.ReceivedPackets = r.ReceivedPackets, r.SentPackets
	o.truth = truth{
		ports:  []string{strconv.Itoa(dnsPort)},
		client: clientEnd(loadProcess, udpExpectation(r)),
		server: serverEnd("dnsmasq", udpExpectation(server)),
		detail: detail{"dnsflow", "rcode", []int64{0}},
	}
	o.truth.client.want[exchanges], o.truth.server.want[exchanges] = exactly(r.Ops), exactly(r.Ops)
	return o, nil
}

// h2 is HTTP/2 without TLS: ten connections of a hundred streams each.
func h2() workload {
	return workload{
		name: "h2", unit: "1M", full: true,
		server: func(l *lab) ([]string, error) {
			_, err := l.writeFile("h2.html", strings.Repeat("x", h2Size))
			return []string{"nghttpd", "--no-tls", "-d", l.dir, "-a", serverIP, strconv.Itoa(h2Port)}, err
		},
		ready: bound{"tcp", []uint16{h2Port}, 1},
		client: func(_ *lab, a amount) []string {
			argv := []string{"h2load", "-c", strconv.Itoa(h2Connections), "-m", "100", "-t", "1",
				fmt.Sprintf("http://%s:%d/h2.html", serverIP, h2Port)}
			if a.n > 0 {
				return append(argv, "-n", itoa(a.n))
			}
			return append(argv, "-D", strconv.Itoa(max(1, int(a.limit.Seconds()))))
		},
		outcome: h2Outcome,
	}
}

const h2Connections = 10

var errH2load = errors.New("not a report of h2load")

// h2Outcome reads h2load's report. Only a run of a known number ends with
// nothing on its way.
func h2Outcome(f *finished) (outcome, error) {
	done, failed, err := h2loadRequests(f.clientOut)
	if err != nil {
		return outcome{}, err
	}
	wall, err := h2loadWall(f.clientOut)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{ops: float64(done), wall: wall.Seconds()}
	if failed > 0 {
		o.failed = fmt.Sprintf("h2load: %d requests failed", failed)
	}
	if f.amount.n == 0 {
		return o, nil
	}
	read := regexp.MustCompile(`traffic: \S+ \((\d+)\) total`).FindStringSubmatch(f.clientOut)
	if read == nil {
		return o, fmt.Errorf("%w: %s", errH2load, f.clientOut)
	}
	bytes, _ := strconv.ParseInt(read[1], 10, 64)
	o.truth = truth{
		ports:  []string{strconv.Itoa(h2Port)},
		detail: detail{"httpflow", "status_code", []int64{200}},
		client: clientEnd("h2load", expectation{
			established: exactly(h2Connections), closed: exactly(h2Connections),
			bytesRead: exactly(bytes), exchanges: exactly(done),
		}),
		server: serverEnd("nghttpd", expectation{
			established: exactly(h2Connections), closed: exactly(h2Connections), exchanges: exactly(done),
		}),
	}
	return o, nil
}

func h2loadRequests(out string) (done, failed int64, err error) {
	m := regexp.MustCompile(`requests: .* (\d+) done, \d+ succeeded, (\d+) failed`).FindStringSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("%w: %s", errH2load, out)
	}
	done, _ = strconv.ParseInt(m[1], 10, 64)
	failed, _ = strconv.ParseInt(m[2], 10, 64)
	return done, failed, nil
}

func h2loadWall(out string) (time.Duration, error) {
	m := regexp.MustCompile(`finished in (\S+),`).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%w: %s", errH2load, out)
	}
	return time.ParseDuration(m[1])
}
