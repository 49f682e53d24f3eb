package agent

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"weft/config"
	"weft/ledger"
	"weft/record"
)

// flows are rows of n connections, each of netflow and of httpflow.
func flows(n int) (batch []record.Record) {
	for i := range n {
		k := record.FlowKey{
			Src: netip.AddrFrom4([4]byte{10, 0, 0, 1}), SrcPort: record.Port(1000 + i),
			Dst: netip.AddrFrom4([4]byte{10, 0, 0, 2}), DstPort: 80, Transport: record.TCP, PID: 1,
		}
		batch = append(batch, &record.Netflow{FlowKey: k, BytesRead: 1},
			&record.Httpflow{HTTPKey: record.HTTPKey{FlowKey: k, Method: "GET", Path: "/"}, Count: 1})
	}
	return batch
}

func testPipeline(t *testing.T, change func(*config.Config)) (*pipeline, *ledger.Ledger) {
	t.Helper()
	cfg, led := config.Default(), ledger.New()
	cfg.Sinks, cfg.StateDir, cfg.HostProc = nil, t.TempDir(), "/proc"
	change(cfg)
	p, err := newPipeline(cfg, led, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(t.Context()); err != nil {
			t.Log(err)
		}
	})
	return p, led
}

func rateOf(p record.Point) float64 {
	for _, f := range p.Fields {
		if f.Key == "sampling_rate" {
			return f.Value.(float64)
		}
	}
	return 1
}

// Both rows of a connection are kept or left out, carry the rate, and what is
// left out is counted.
func TestPipelineSamples(t *testing.T) {
	const n, rate = 1000, 0.25
	p, led := testPipeline(t, func(c *config.Config) { c.SamplingRate = "0.25" })
	batch := flows(n)
	p.sampling.begin(batch)
	points := p.points(batch)
	both := map[string]int{}
	for _, pt := range points {
		if rateOf(pt) != rate {
			t.Fatalf("a point with the rate %g", rateOf(pt))
		}
		for _, tag := range pt.Tags {
			if tag.Key == "src_port" {
				both[tag.Value]++
			}
		}
	}
	for port, rows := range both {
		if rows != 2 {
			t.Errorf("%d rows of the connection from port %s are kept, want both", rows, port)
		}
	}
	for _, s := range led.Snapshot() {
		if s.Stage == "pipeline" && s.Dropped["sampled_out"] != int64(2*n-len(points)) {
			t.Errorf("%d counted as left out, %d points of %d", s.Dropped["sampled_out"], len(points), 2*n)
		}
	}
	if len(points) < 350 || len(points) > 650 {
		t.Errorf("%d points of %d at the rate %g", len(points), 2*n, rate)
	}
}

// Over a limit exchanges are sampled, netflow is not; without a rate there is no
// field.
func TestSheddingSparesNetflow(t *testing.T) {
	p, _ := testPipeline(t, func(*config.Config) {})
	for _, shedding := range []bool{false, true} {
		p.shed(shedding)
		p.between(func() {}) // comes behind it
		batch := flows(1000)
		p.sampling.begin(batch)
		counts := map[string]int{}
		for _, pt := range p.points(batch) {
			counts[pt.Name]++
			if want := map[bool]float64{true: sheddingRate, false: 1}[shedding && pt.Name == "httpflow"]; rateOf(pt) != want {
				t.Fatalf("%s with the rate %g, want %g", pt.Name, rateOf(pt), want)
			}
		}
		if http := counts["httpflow"]; counts["netflow"] != 1000 || shedding != (http < 200) || http == 0 {
			t.Errorf("shedding %v: %v", shedding, counts)
		}
	}
}

// A sink that takes nothing costs the pipeline its patience once, and gets
// again what comes when it goes on.
func TestStuckSink(t *testing.T) {
	out := &output{queue: make(chan []record.Point, 1)}
	points := make([]record.Point, 1)
	if !out.offer(points) {
		t.Fatal("an empty queue takes nothing")
	}
	if out.offer(points) {
		t.Fatal("a full queue takes more")
	}
	began := time.Now()
	for range 100 {
		out.offer(points)
	}
	if time.Since(began) > patience {
		t.Error("it is waited for again")
	}
	<-out.queue
	if !out.offer(points) || out.stuck {
		t.Error("it is still stuck")
	}
}
