package agent

import (
	"slices"
	"strconv"
	"time"

	"weft/config"
	"weft/record"
	"weft/sample"
)

// sampling decides which records of a batch leave, and at which rate.
type sampling struct {
	rates *sample.Rates
	// shedding: exchanges are sampled because a limit was exceeded.
	shedding bool
	now      map[string]float64 // rates of the batch at hand by category
}

func newSampling(cfg *config.Config) *sampling {
	number := func(text string, unset float64) float64 {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n // config has checked it
		}
		return unset
	}
	return &sampling{
		rates: sample.NewRates(number(cfg.SamplingRate, 1), number(cfg.SamplingPerMinute, 0), cfg.Interval),
		now:   map[string]float64{},
	}
}

// begin looks at a batch as a whole.
func (s *sampling) begin(batch []record.Record) {
	counts := map[string]int{}
	for _, r := range batch {
		counts[r.Category().Kind]++
	}
	clear(s.now)
	at := time.Now()
	for kind, n := range counts {
		s.now[kind] = s.rates.Rate(kind, n, at)
	}
}

// end tells what was kept of it, which counts for the rates to come.
func (s *sampling) end(points []record.Point) {
	for kind := range s.now {
		n := 0
		for i := range points {
			if points[i].Category.Kind == kind {
				n++
			}
		}
		s.rates.Kept(kind, n)
	}
}

// rate is that of a record.
func (s *sampling) rate(r record.Record) float64 {
	rate := s.now[r.Category().Kind]
	if s.shedding && isExchange(r) {
		rate = min(rate, sheddingRate)
	}
	return rate
}

func isExchange(r record.Record) bool {
	return slices.Contains([]string{"httpflow", "dnsflow", "tlsflow"}, r.Measurement())
}

// mark writes the rate on a point that was sampled, so that totals can be
// scaled back.
func mark(p *record.Point, rate float64) {
	if rate < 1 {
		p.Fields = append(p.Fields, record.Field{Key: "sampling_rate", Value: rate, Unit: "-"})
	}
}
