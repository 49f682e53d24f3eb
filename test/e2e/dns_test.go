package e2e

import (
	"encoding/json"
	"math"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weft/test/e2e/collector"
	"weft/test/e2e/netlab"
	"weft/test/load/traffic"
)

const dnsAddr = netlab.ServerIP + ":53"

// startDNS runs dnsmasq: example.test and what is below it has addresses,
// nx.test has no names, everything else is refused.
func startDNS(t *testing.T, ns *netlab.Namespace, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("dnsmasq", append([]string{"-k", "-a", netlab.ServerIP, "--bind-interfaces", "--no-resolv",
		"--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--cache-size=0",
		"--address=/example.test/10.1.2.3", "--address=/example.test/fd00::3", "--local=/nx.test/"}, args...)...)
	ns.Start(t, cmd)
	ns.AwaitListener(t, dnsAddr)
	return cmd
}

// askDNS runs the generator and returns what it counted.
func askDNS(t *testing.T, ns *netlab.Namespace, n int, args ...string) traffic.Result {
	t.Helper()
	out := ns.Output(t, generator, append([]string{"dns-client", "-to", dnsAddr, "-n", strconv.Itoa(n)}, args...)...)
	var r traffic.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Failed > 0 || r.Ops != int64(n) {
		t.Fatalf("the generator itself failed: %s", out)
	}
	return r
}

// rcodes are the generator's counts in the form of the rows'.
func rcodes(r traffic.Result) map[string]int64 {
	out := map[string]int64{}
	for code, n := range r.Rcodes {
		out[strconv.Itoa(code)] = n
	}
	return out
}

// dnsQueries is how many queries a test sends: 200,000 in a run of two minutes.
func dnsQueries(t *testing.T) int { return int(loadTime(t).Seconds() * 5000 / 3) }

const dnsNames = "example.test/A,example.test/AAAA,host%d.example.test/A,gone.nx.test/A,gone%d.nx.test/AAAA,other.org/A"

// Queries by response code are the client's own count on both sides, and so is
// the time that they took.
func TestDNSCounts(t *testing.T) {
	needs(t, "dnsmasq")
	for name, args := range map[string][]string{
		"UDP":              {"-workers", "8"},
		"UDP, one a time":  {"-workers", "1"},
		"UDP, new sockets": {"-workers", "8", "-per-socket", "1"},
		"EDNS":             {"-workers", "8", "-edns"},
		"TCP":              {"-workers", "4", "-tcp", "-per-socket", "50"},
		"TCP, one a time":  {"-workers", "1", "-tcp", "-edns", "-per-socket", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := netlab.NewPair(t)
			p.Client.Sysctl(t, "ipv4/tcp_tw_reuse", "1")
			startDNS(t, p.Server)
			c := start(t, "--interval", "1s")
			r := askDNS(t, p.Client, dnsQueries(t), append(args, "-names", dnsNames)...)
			settle(t, p)
			losses := c.Losses(t)
			e := measured("dnsflow", p, c.Stop(t))
			equalCounts(t, "the client's queries", e.client.SumBy("count", "rcode"), rcodes(r))
			equalCounts(t, "the server's queries", e.server.SumBy("count", "rcode"), rcodes(r))
			equal(t, "client rows of the generator", len(e.client.Where("process_name", "load")), len(e.client))
			equal(t, "server rows of dnsmasq", len(e.server.Where("process_name", "dnsmasq")), len(e.server))
			mean := meanOf(e.client, "latency")
			t.Logf("%d queries, client's mean %d ns, median %d ns, rows' mean %d ns",
				r.Ops, r.LatencyMean, r.LatencyMedian, mean)
			// How much longer it takes the client depends on how long it waits for a
			// CPU: TestDNSLatency has a server that takes longer than that.
			if mean <= 0 || mean > r.LatencyMean {
				t.Errorf("latency: %d ns, the client took %d ns", mean, r.LatencyMean)
			}
			if t.Failed() {
				t.Logf("what it counted as lost: %v", losses)
			}
		})
	}
}

// meanOf is the mean of rows' means, by their counts.
func meanOf(rows collector.Rows, field string) int64 {
	var sum, n int64
	for _, r := range rows {
		sum, n = sum+r.Field(field)*r.Field("count"), n+r.Field("count")
	}
	return sum / max(n, 1)
}

// equalLatency allows what a client cannot know better: the time until it runs.
func equalLatency(t *testing.T, got, want int64) {
	t.Helper()
	if off := math.Abs(float64(got - want)); off > 0.05*float64(want) {
		t.Errorf("latency: got %d ns, want %d ns", got, want)
	}
}

// A slow server: here the time on the wire is not lost in that of waking up.
func TestDNSLatency(t *testing.T) {
	needs(t)
	const n, delay = 30, 60 * time.Millisecond
	p := netlab.NewPair(t)
	serveDNS(t, p.Server, delay, false)
	c := start(t, "--interval", "1s")
	r := askDNS(t, p.Client, n, "-workers", "1")
	e := measured("dnsflow", p, c.Stop(t))
	equal(t, "queries", e.client.Sum("count"), n)
	equalLatency(t, meanOf(e.client, "latency"), r.LatencyMean)
	equalLatency(t, meanOf(e.server, "latency"), r.LatencyMean)
}

// serveDNS answers every A query with an address after the delay; over UDP,
// where truncate asks for it, with TC alone.
func serveDNS(t *testing.T, ns *netlab.Namespace, delay time.Duration, truncate bool) {
	t.Helper()
	var udp net.PacketConn
	var err error
	ns.Do(func() { udp, err = net.ListenPacket("udp4", dnsAddr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			time.Sleep(delay)
			udp.WriteTo(dnsAnswer(buf[:n], truncate), from)
		}
	}()
	tcp := ns.Listen(t, "tcp4", dnsAddr)
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			answer := dnsAnswer(buf[2:n], false)
			conn.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
			conn.Read(buf)
			conn.Close()
		}
	}()
}

func dnsAnswer(query []byte, truncated bool) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil
	}
	questions, err := parser.AllQuestions()
	if err != nil {
		return nil
	}
	header.Response, header.Truncated = true, truncated
	m := dnsmessage.Message{Header: header, Questions: questions}
	if !truncated {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte{10, 1, 2, 3}},
		}}
	}
	b, _ := m.Pack()
	return b
}

// After TC a client asks again over TCP: two rows, one of them with the TC bit.
func TestDNSTruncated(t *testing.T) {
	needs(t)
	const n = 20
	p := netlab.NewPair(t)
	serveDNS(t, p.Server, 0, true)
	c := start(t, "--interval", "1s")
	r := askDNS(t, p.Client, n, "-workers", "1")
	equal(t, "truncated, as the client says", r.Truncated, n)
	settle(t, p)
	e := measured("dnsflow", p, c.Stop(t), "query", "example.test", "qtype", "A", "rcode", "0")
	want := map[string]int64{"udp": n, "tcp": n}
	equalCounts(t, "the client's queries", e.client.SumBy("count", "transport"), want)
	equalCounts(t, "the server's queries", e.server.SumBy("count", "transport"), want)
	e.sums(t, "truncated_responses", n, n)
	e.sums(t, "answers", n, n)
}

// A server that is stopped: queries time out, in no latency, and those that
// were sent again count once.
func TestDNSTimeout(t *testing.T) {
	needs(t, "dnsmasq")
	const answered, lost, attempts = 30, 40, 3
	p := netlab.NewPair(t)
	server := startDNS(t, p.Server)
	c := start(t, "--interval", "1s", "--dns-timeout", "1s")
	askDNS(t, p.Client, answered, "-workers", "1")
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r := askDNS(t, p.Client, lost, "-workers", "20", "-timeout", "100ms", "-attempts", strconv.Itoa(attempts),
		"-names", "slow%d.example.test/A")
	equalCounts(t, "what the client says", rcodes(r), map[string]int64{"-1": lost})
	equal(t, "queries sent again, as the client says", r.Retries, lost*(attempts-1))
	rows := c.Await(t, 10*time.Second, func(rs collector.Rows) bool {
		return measured("dnsflow", p, rs, "rcode", "-1").client.Sum("count") >= lost
	})
	e := measured("dnsflow", p, rows)
	equalCounts(t, "the client's queries", e.client.SumBy("count", "rcode"), map[string]int64{"0": answered, "-1": lost})
	timeouts := e.client.Where("rcode", "-1")
	equal(t, "retries", timeouts.Sum("retries"), lost*(attempts-1))
	equal(t, "latency of timeouts", timeouts.Sum("latency")+timeouts.Sum("latency_max"), 0)
	server.Process.Signal(syscall.SIGCONT)
}
