package limit

import "time"

// When to leave out more, and when less again.
const (
	// memFull is the share of mem_limit at which more is left out, at once: the
	// limit itself is not to be reached. The others may be exceeded for a window.
	memFull = 0.92
	// Below these shares there is room again.
	memCalm, calm = 0.85, 0.7
	// A step has so long to take effect before the next; memory follows at once.
	settle, settleMem = Window, 2 * time.Second
	// calmFor is how long there must be room before a step is taken back; twice
	// as long after each time that it had to be taken again, up to maxCalm.
	calmFor, maxCalm = 15 * time.Second, 10 * time.Minute
	// relapse is how soon after a step was taken back it counts as taken again.
	relapse = time.Minute
)

// Ladder is how many steps of work are left out. It is used by one goroutine.
type Ladder struct {
	steps   int
	level   int
	changed time.Time
	// calm is since when there has been room; zero while there is none.
	calm  time.Time
	wait  time.Duration
	back  time.Time // when a step was last taken back
	cause Use
}

// NewLadder returns a ladder of so many steps, none of which is taken.
func NewLadder(steps int) *Ladder { return &Ladder{steps: steps, wait: calmFor} }

// Level is how many steps are taken.
func (l *Ladder) Level() int { return l.level }

// Cause is the use that made it take the last step.
func (l *Ladder) Cause() Use { return l.cause }

// Decide takes or takes back at most one step, and reports whether it did.
func (l *Ladder) Decide(uses []Use, now time.Time) bool {
	if over, is := worst(uses); is {
		l.calm = time.Time{}
		wait := settle
		if over.Name == "mem_limit" {
			wait = settleMem
		}
		if l.level == l.steps || l.level > 0 && now.Sub(l.changed) < wait {
			return false
		}
		if !l.back.IsZero() && now.Sub(l.back) < relapse {
			l.wait = min(2*l.wait, maxCalm)
		}
		l.level, l.changed, l.cause = l.level+1, now, over
		return true
	}
	if l.level == 0 || !room(uses) {
		l.calm = time.Time{}
		return false
	}
	if l.calm.IsZero() {
		l.calm = now
	}
	if now.Sub(l.calm) < l.wait {
		return false
	}
	// Those behind it follow sooner, as long as there is room.
	l.level, l.changed, l.back, l.calm = l.level-1, now, now, now.Add(settle-l.wait)
	if l.level == 0 {
		l.cause = Use{}
	}
	return true
}

// worst is the use that asks for another step.
func worst(uses []Use) (worst Use, is bool) {
	for _, u := range uses {
		over := u.Held > 1
		if u.Name == "mem_limit" {
			over = u.Now > memFull
		}
		if over && (!is || u.Now > worst.Now) {
			worst, is = u, true
		}
	}
	return worst, is
}

func room(uses []Use) bool {
	for _, u := range uses {
		if u.Name == "mem_limit" && u.Now > memCalm || u.Name != "mem_limit" && u.Held > calm {
			return false
		}
	}
	return true
}
