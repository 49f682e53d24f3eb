package sample

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"weft/record"
)

// population is flows as a busy host has them: few servers, many clients, heavy
// and light ones.
func population(n int) []record.FlowKey {
	r := rand.New(rand.NewPCG(1, 2))
	flows := make([]record.FlowKey, n)
	for i := range flows {
		flows[i] = record.FlowKey{
			Src: netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(8))}), SrcPort: record.Port(80 + r.IntN(5)),
			Dst:       netip.AddrFrom4([4]byte{192, 168, byte(r.IntN(256)), byte(r.IntN(256))}),
			DstPort:   record.Port(32768 + r.IntN(28000)),
			Transport: record.TCP, Direction: record.Incoming, PID: uint32(i),
		}
	}
	return flows
}

// other is the same connection as the other end has it.
func other(k record.FlowKey) record.FlowKey {
	k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
	k.Direction, k.PID, k.NetNS = record.Outgoing, k.PID+7, 99
	return k
}

// The share kept is the rate within three standard deviations, and what is kept
// is the same at both ends and at every higher rate.
func TestShareAndAgreement(t *testing.T) {
	const n = 200_000
	flows := population(n)
	for _, rate := range []float64{0.001, 0.01, 0.1, 1.0 / 3, 0.4, 0.5, 0.7, 0.99} {
		kept := 0
		for i := range flows {
			there := other(flows[i])
			here := OfFlow(&flows[i])
			if here != OfFlow(&there) {
				t.Fatalf("the ends of %+v disagree", flows[i])
			}
			if !here.Keep(rate) {
				continue
			}
			kept++
			if !here.Keep(rate + 0.01) {
				t.Fatalf("kept at %g and not at more", rate)
			}
		}
		if sigma := math.Sqrt(n * rate * (1 - rate)); math.Abs(float64(kept)-n*rate) > 3*sigma {
			t.Errorf("rate %g: kept %d of %d, more than 3 sigma off %g", rate, kept, n, n*rate)
		}
	}
	if k := OfFlow(&flows[0]); !k.Keep(1) || k.Keep(0) {
		t.Error("rate 1 keeps all, rate 0 none")
	}
}

// Totals scaled by the rate are those of the population, within three standard
// deviations of such an estimate.
func TestScaledTotals(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	flows := population(100_000)
	for _, rate := range []float64{0.05, 0.3, 0.7} {
		var total, scaled, variance float64
		for i := range flows {
			bytes := math.Exp(6 + 2*r.NormFloat64()) // sizes of flows are about log-normal
			total += bytes
			variance += bytes * bytes * (1 - rate) / rate
			if OfFlow(&flows[i]).Keep(rate) {
				scaled += bytes / rate
			}
		}
		if off := math.Abs(scaled - total); off > 3*math.Sqrt(variance) {
			t.Errorf("rate %g: %.0f of %.0f", rate, scaled, total)
		}
	}
}

// A collapsed client port, IPv4 in IPv6, overflow rows, and records without a flow.
func TestKeys(t *testing.T) {
	a := record.FlowKey{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), DstPort: 80,
		Transport: record.TCP}
	b := other(a)
	b.Src = netip.MustParseAddr("::ffff:10.0.0.2")
	if OfFlow(&a) != OfFlow(&b) {
		t.Error("the ends of a collapsed row disagree")
	}
	udp := a
	if udp.Transport = record.UDP; OfFlow(&a) == OfFlow(&udp) {
		t.Error("TCP and UDP have one key")
	}
	one, two := record.FlowKey{PID: 1}, record.FlowKey{PID: 2}
	if OfFlow(&one) == OfFlow(&two) {
		t.Error("overflow rows of two processes have one key")
	}
	line := func(text string) *record.Point {
		return &record.Point{Fields: []record.Field{{Key: "session_id", Value: "s1"}, {Key: "line", Value: text}}}
	}
	first, ok1 := OfPoint(line("ls"))
	second, ok2 := OfPoint(line("ps"))
	if !ok1 || !ok2 || first != second {
		t.Error("lines of a session have two keys")
	}
	if _, ok := OfPoint(&record.Point{Tags: []record.Tag{{Key: "pid", Value: "7"}}}); !ok {
		t.Error("a process is no key")
	}
	if _, ok := OfPoint(&record.Point{}); ok {
		t.Error("nothing has a key")
	}
}

// minutes drives an adaptive rate with offered records an interval, of flows of
// a population, and returns how many were kept in each minute.
func minutes(r *Rates, interval time.Duration, offered func(i int) int, n int) (kept []int) {
	flows := population(50_000)
	per := int(time.Minute / interval)
	for i := range n * per {
		if i%per == 0 {
			kept = append(kept, 0)
		}
		now := time.Unix(0, int64(i)*int64(interval))
		// Two sources flush one after the other.
		for _, part := range []int{offered(i) / 3, offered(i) - offered(i)/3} {
			rate := r.Rate("network", part, now)
			got := 0
			for j := range part {
				if OfFlow(&flows[(i*977+j)%len(flows)]).Keep(rate) {
					got++
				}
			}
			r.Kept("network", got)
			kept[len(kept)-1] += got
		}
	}
	return kept
}

// About as many as asked for leave in a minute, from the first one on, whatever
// the load does.
func TestPointsAMinute(t *testing.T) {
	const limit = 1500
	for name, tt := range map[string]struct {
		interval time.Duration
		offered  func(i int) int
		least    int // in the last minute
	}{
		"one interval a minute": {time.Minute, func(int) int { return 20_000 }, 1300},
		"steady":                {5 * time.Second, func(int) int { return 5000 }, 1200},
		"every second":          {time.Second, func(int) int { return 900 }, 1200},
		"grows":                 {5 * time.Second, func(i int) int { return min(100<<(i/6), 30_000) }, 400},
		"bursts":                {5 * time.Second, func(i int) int { return []int{100, 12_000}[i%12/11] }, 400},
		"fits":                  {5 * time.Second, func(int) int { return 100 }, 1200},
		"shrinks":               {5 * time.Second, func(i int) int { return max(30_000-i*800, 60) }, 700},
	} {
		kept := minutes(NewRates(1, limit, tt.interval), tt.interval, tt.offered, 6)
		t.Logf("%s: %v", name, kept)
		for minute, n := range kept {
			if n > limit*3/2 {
				t.Errorf("%s: %d points in minute %d, the limit is %d", name, n, minute, limit)
			}
		}
		if last := kept[len(kept)-1]; last < tt.least {
			t.Errorf("%s: only %d points in the last minute", name, last)
		}
	}
}

// Categories do not take from each other, and a fixed rate is fixed.
func TestCategoriesAreApart(t *testing.T) {
	r := NewRates(1, 1000, time.Minute)
	now := time.Unix(100, 0)
	if rate := r.Rate("network", 1_000_000, now); rate > 0.0011 {
		t.Errorf("network %g", rate)
	}
	if rate := r.Rate("logging", 100, now); rate != 1 {
		t.Errorf("logging %g", rate)
	}
	if rate := NewRates(0.7, 0, time.Minute).Rate("network", 1_000_000, now); rate != 0.7 {
		t.Errorf("fixed %g", rate)
	}
}
