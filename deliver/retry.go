package deliver

import (
	"errors"
	"math/rand/v2"
	"time"
)

// maxRetryAfter bounds the pause that a server may ask for.
const maxRetryAfter = 5 * time.Minute

type permanentError interface {
	error
	Permanent() bool
}

// reasonOf is the ledger's reason for a permanent error.
func reasonOf(err error) string {
	var r interface{ Reason() string }
	if errors.As(err, &r) && r.Reason() != "" {
		return r.Reason()
	}
	return Rejected
}

// delay is the pause before the next attempt after the n-th failure in a row:
// doubled each time, the upper half of it random so that agents that lost the
// same server do not come back together.
func (o *Options) delay(n int, err error) time.Duration {
	d := o.MinBackoff
	for ; n > 1 && d < o.MaxBackoff; n-- {
		d *= 2
	}
	d = min(d, o.MaxBackoff)
	d = d/2 + rand.N(d/2+1)
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		d = max(d, min(r.RetryAfter(), maxRetryAfter))
	}
	return d
}
