package datakit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an answer other than 2xx.
type StatusError struct {
	Code int
	// Text is the beginning of the answer's body.
	Text string
	// Wait is what the server asked for in Retry-After, else 0.
	Wait time.Duration
}

func newStatusError(resp *http.Response, text []byte) *StatusError {
	return &StatusError{
		Code: resp.StatusCode,
		Text: strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD")),
		Wait: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("server answered %d %s", e.Code, http.StatusText(e.Code))
	}
	return fmt.Sprintf("server answered %d %s: %s", e.Code, http.StatusText(e.Code), e.Text)
}

// Permanent is true for what the server will refuse for ever: 4xx but 408
// (timeout) and 429 (too many requests).
func (e *StatusError) Permanent() bool {
	return e.Code/100 == 4 && e.Code != http.StatusRequestTimeout && e.Code != http.StatusTooManyRequests
}

// Reason is the ledger's reason when points are dropped for this error.
func (e *StatusError) Reason() string { return "http_" + strconv.Itoa(e.Code) }

// RetryAfter is how long the server asked to be left alone; 0 if it did not.
func (e *StatusError) RetryAfter() time.Duration { return e.Wait }

// retryAfter reads both forms of the header: seconds and a date.
func retryAfter(v string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, most)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}

// badMessage is a spooled message that this version cannot read.
type badMessage struct{ error }

// Permanent implements the queue's notion of an error that stays.
func (*badMessage) Permanent() bool { return true }

// Reason is the ledger's reason.
func (*badMessage) Reason() string { return "bad_message" }
