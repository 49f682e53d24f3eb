package datakit

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"weft/record/encode"
)

const (
	sameError   = 30 * time.Second // between two reports of one text
	anyError    = time.Second      // between two reports
	lastChance  = 2 * time.Second  // for what waits at Close
	maxReports  = 16               // waiting
	maxRemember = 64               // texts
	maxContent  = 4 << 10          // bytes of a text
)

// ReportError posts text to the server's /v1/lasterror, where DataKit shows it
// to its user. It returns at once and is best effort: the same text at most
// every 30 seconds, one report a second, no retry.
func (c *Client) ReportError(text string) { c.reports.add(text) }

func (c *Client) postError(ctx context.Context, text string) {
	body, err := json.Marshal(struct {
		Input   string `json:"input"`
		Source  string `json:"source"`
		Content string `json:"err_content"`
	}{Input: "ebpf", Content: text})
	if err != nil {
		return
	}
	// A lost report is no news: the same trouble shows in the log and /metrics.
	_ = c.post(ctx, c.url("v1/lasterror", "", ""), http.Header{"Content-Type": {"application/json"}}, body)
}

// reporter limits how often a post is made.
type reporter struct {
	post    func(context.Context, string)
	queue   chan string
	closing chan struct{}
	done    chan struct{}

	mu     sync.Mutex
	closed bool
	last   map[string]time.Time
}

func newReporter(post func(context.Context, string)) *reporter {
	r := &reporter{
		post: post, queue: make(chan string, maxReports), closing: make(chan struct{}), done: make(chan struct{}),
		last: map[string]time.Time{},
	}
	go r.run()
	return r
}

func (r *reporter) add(text string) {
	text, _ = encode.Clip(text, maxContent)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for t, at := range r.last {
		if now.Sub(at) >= sameError {
			delete(r.last, t)
		}
	}
	if _, recent := r.last[text]; r.closed || recent || len(r.last) >= maxRemember {
		return
	}
	select {
	case r.queue <- text:
		r.last[text] = now
	default:
	}
}

func (r *reporter) run() {
	defer close(r.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// At the end, what waits gets its chance, but not for long: it may say why
	// the process cannot go on.
	go func() {
		<-r.closing
		time.AfterFunc(lastChance, cancel)
	}()
	for text := range r.queue {
		r.post(ctx, text)
		select {
		case <-time.After(anyError):
		case <-r.closing:
		}
	}
}

func (r *reporter) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.closing)
		close(r.queue)
	}
	r.mu.Unlock()
	<-r.done
}
