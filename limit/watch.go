package limit

import (
	"fmt"
	"time"
)

// Window is how long a limit must be exceeded to count: CPU and bandwidth are
// means over it, memory was above the limit all the time.
const Window = 5 * time.Second

// enough of a window is one: ticks come a little early or late.
const enough = Window - 500*time.Millisecond

// Limits are the bounds; 0 is none.
type Limits struct {
	CPU      float64 // cores
	Mem, Net int64   // bytes, bytes per second
}

// Use is how much of one limit is used.
type Use struct {
	// Name is the limit's key: "cpu_limit".
	Name string
	// Now and Held are shares of the limit, 1 being all of it: at the last
	// sample, and over the window; Held is 0 until there is a window.
	Now, Held float64
	// Text says how much is used, of how much.
	Text string
}

// Watch keeps the samples of the window. It is used by one goroutine.
type Watch struct {
	samples []Sample
	steps   []map[string][2]float64 // bytes of each interface between neighbours
}

// Add takes a sample and says how much of each limit is used.
func (w *Watch) Add(s Sample, l Limits) []Use {
	if n := len(w.samples); n > 0 {
		w.steps = append(w.steps, nicSteps(w.samples[n-1].NICs, s.NICs))
	}
	w.samples = append(w.samples, s)
	for len(w.samples) > 2 && s.At.Sub(w.samples[1].At) >= enough {
		w.samples, w.steps = w.samples[1:], w.steps[1:]
	}
	full := s.At.Sub(w.samples[0].At) >= enough
	var uses []Use
	if l.CPU > 0 {
		uses = append(uses, w.cpu(l.CPU, full))
	}
	if l.Mem > 0 {
		uses = append(uses, w.memory(l.Mem, full))
	}
	if l.Net > 0 {
		uses = append(uses, w.net(l.Net, full))
	}
	return uses
}

// seconds is the time that the window covers.
func (w *Watch) seconds() float64 {
	return w.samples[len(w.samples)-1].At.Sub(w.samples[0].At).Seconds()
}

func (w *Watch) cpu(limit float64, full bool) Use {
	u := Use{Name: "cpu_limit"}
	if n := len(w.samples); n > 1 {
		mean := (w.samples[n-1].CPU - w.samples[0].CPU).Seconds() / w.seconds()
		u.Now = (w.samples[n-1].CPU - w.samples[n-2].CPU).Seconds() /
			w.samples[n-1].At.Sub(w.samples[n-2].At).Seconds() / limit
		u.Text = fmt.Sprintf("%.3g of %.3g cores, the mean of %.0fs", mean, limit, w.seconds())
		if full {
			u.Held = mean / limit
		}
	}
	return u
}

// memory holds as much as the least of the window.
func (w *Watch) memory(limit int64, full bool) Use {
	last := w.samples[len(w.samples)-1].Mem
	least := last.Total()
	for _, s := range w.samples {
		least = min(least, s.Mem.Total())
	}
	u := Use{Name: "mem_limit", Now: float64(last.Total()) / float64(limit)}
	u.Text = fmt.Sprintf("%s of %s (process %s, kernel tables and programs %s)",
		mib(last.Total()), mib(limit), mib(last.Process), mib(last.BPF))
	if full {
		u.Held = float64(least) / float64(limit)
	}
	return u
}

func mib(n int64) string { return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20)) }

// net is of the busiest direction of the busiest interface.
func (w *Watch) net(limit int64, full bool) Use {
	u := Use{Name: "net_limit"}
	sums := map[string][2]float64{}
	for _, step := range w.steps {
		for name, d := range step {
			sums[name] = [2]float64{sums[name][0] + d[0], sums[name][1] + d[1]}
		}
	}
	most := -1.0
	for name, sum := range sums {
		for dir, what := range []string{"received", "sent"} {
			if sum[dir] <= most {
				continue
			}
			most = sum[dir]
			rate := sum[dir] / w.seconds()
			u.Text = fmt.Sprintf("%s/s %s on %s of %s/s, the mean of %.0fs",
				mib(int64(rate)), what, name, mib(limit), w.seconds())
			u.Now = rate / float64(limit)
		}
	}
	if full {
		u.Held = u.Now
	}
	return u
}

// nicSteps is what interfaces have moved between two samples. An interface
// that was not there before has no step, and neither has a counter that went
// back: it was reset, or the interface is another one of that name.
func nicSteps(before, after map[string][2]uint64) map[string][2]float64 {
	steps := map[string][2]float64{}
	for name, b := range after {
		a, known := before[name]
		if !known {
			continue
		}
		var d [2]float64
		for i := range d {
			if b[i] >= a[i] {
				d[i] = float64(b[i] - a[i])
			}
		}
		steps[name] = d
	}
	return steps
}
