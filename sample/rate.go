package sample

import "time"

// whole is the share of what a minute may hold within which everything is kept
// without a look at what else may come: small bursts pass whole.
const whole = 0.25

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
// or over what a minute of intervals like the last one would bring, whichever
// is more. So an interval keeps its part of the minute at most, from the first
// one on.
func (r *Rates) Rate(kind string, n int, now time.Time) float64 {
	if r.perMinute <= 0 {
		return r.fixed
	}
	b := r.recent(kind, now)
	offered, kept, last := n, 0, n
	for i := range b {
		offered += b[i].offered
		kept += b[i].kept
		if now.Sub(b[i].at) < r.interval {
			last += b[i].offered
		}
	}
	r.add(kind, batch{at: now, offered: n})
	if float64(kept+n) <= whole*r.perMinute {
		return 1
	}
	minute := max(float64(offered), float64(last)*time.Minute.Seconds()/r.interval.Seconds())
	return min(1, r.perMinute/minute)
}

// Kept tells how many of the records of the last Rate were kept.
func (r *Rates) Kept(kind string, n int) {
	if b := r.kinds[kind]; len(b) > 0 {
		b[len(b)-1].kept += n
	}
}

// recent forgets what is older than a minute.
func (r *Rates) recent(kind string, now time.Time) []batch {
	b := r.kinds[kind]
	for len(b) > 0 && now.Sub(b[0].at) >= time.Minute {
		b = b[1:]
	}
	r.kinds[kind] = b
	return b
}

// add joins what comes within a second.
func (r *Rates) add(kind string, one batch) {
	b := r.kinds[kind]
	if n := len(b); n > 0 && one.at.Sub(b[n-1].at) < time.Second {
		b[n-1].offered += one.offered
		return
	}
	r.kinds[kind] = append(b, one)
}
