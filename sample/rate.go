package sample

import "time"

// spare is the part of a minute's points that any interval may use up.
const spare = 0.25

// Rates says which share of each category to keep. It is used by one goroutine.
type Rates struct {
	fixed     float64
	perMinute float64
	interval  time.Duration
	kinds     map[string][]batch
}

// batch is what came and what was kept in a second.
type batch struct {
	at            time.Time
	offered, kept int
}

// NewRates keeps a fixed share, or, with perMinute above 0, about so many points
// of each category a minute. Records come in bursts, one an interval.
func NewRates(fixed, perMinute float64, interval time.Duration) *Rates {
	return &Rates{fixed: fixed, perMinute: perMinute, interval: min(interval, time.Minute), kinds: map[string][]batch{}}
}

// Rate is the share to keep of n records of a category that came now.
//
// With a number a minute, it is that number over what came in the last minute,
// or over what a minute of intervals like this one or the last would bring,
// whichever is more: so an interval keeps its part of the minute at most, from
// the first one on. A burst after quiet intervals may use up to a quarter of the
// minute.
func (r *Rates) Rate(kind string, n int, now time.Time) float64 {
	if r.perMinute <= 0 {
		return r.fixed
	}
	if n == 0 {
		return 1
	}
	past := r.kinds[kind]
	var kept, before int
	minute, current := n, n
	for _, b := range past {
		age := now.Sub(b.at)
		if age < time.Minute {
			minute, kept = minute+b.offered, kept+b.kept
		}
		switch {
		case age < r.interval/2:
			current += b.offered
		case age < r.interval*3/2:
			before += b.offered
		}
	}
	r.add(kind, batch{at: now, offered: n})
	perMinute := time.Minute.Seconds() / r.interval.Seconds()
	expected := max(float64(minute), perMinute*float64(max(current, before)))
	if before == 0 && r.young(kind, now) {
		expected *= 2 // other sources have not spoken yet
	}
	return min(1, max(r.perMinute/expected, (spare*r.perMinute-float64(kept))/float64(n)))
}

// Kept tells how many of the records of the last Rate were kept.
func (r *Rates) Kept(kind string, n int) {
	if b := r.kinds[kind]; len(b) > 0 {
		b[len(b)-1].kept += n
	}
}

// young tells whether no interval has passed since the first batch.
func (r *Rates) young(kind string, now time.Time) bool {
	return now.Sub(r.kinds[kind][0].at) < r.interval/2
}

// add joins what comes within a second, and forgets what is no longer needed.
func (r *Rates) add(kind string, one batch) {
	past := r.kinds[kind]
	for len(past) > 0 && one.at.Sub(past[0].at) >= 2*time.Minute {
		past = past[1:]
	}
	if n := len(past); n > 0 && one.at.Sub(past[n-1].at) < time.Second {
		past[n-1].offered += one.offered
		return
	}
	r.kinds[kind] = append(past, one)
}
