package payload

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"

	"weft/record"
)

// site is a client and a server of HTTP that talk through the router.
func (r *router) site(t *testing.T, w *wire, h2 bool) *http.Client {
	t.Helper()
	serve(t, r.listen(t, &net.ListenConfig{}), site)
	tr := transport(w, "tcp4", h2)
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		r.client.do(func() { c, err = dial(ctx, network, addr) })
		return c, err
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestLoss: on a path that loses, repeats and reorders packets each request is
// counted once at each end.
func TestLoss(t *testing.T) {
	for _, path := range []struct {
		name string
		fate func(fromClient bool, n int) fate
		stat bpfPayloadStat
	}{
		{"drop", func(_ bool, n int) fate { return []fate{forward, drop}[btoi(n%20 == 19)] }, bpfPayloadStatSTAT_LATE},
		{"twice", func(_ bool, n int) fate { return []fate{forward, twice}[btoi(n%5 == 4)] }, bpfPayloadStatSTAT_DUPLICATES},
		{"reorder", func(_ bool, n int) fate { return []fate{forward, hold}[btoi(n%30 == 29)] }, bpfPayloadStatSTAT_GAPS},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", path.name, h2), func(t *testing.T) {
				r := newRouter(t)
				b := start(t, testConfig())
				w := &wire{}
				c := r.site(t, w, h2)
				r.setFate(path.fate)
				version, want := map[bool]string{false: "1.1", true: "2"}[h2], map[string]int64{}
				for i := range 100 {
					base := "http://" + serverSeenAt + ":8080"
					fetch(t, c, want, version, "GET", base, fmt.Sprintf("/s/200/%d", i*100), -1)
					fetch(t, c, want, version, "POST", base, "/s/404/10", i*50)
				}
				r.setFate(nil)
				c.CloseIdleConnections()
				b.until(func() bool {
					return b.sum(incoming(served)).Count >= 200 && b.sum(outgoing(dialled)).Count >= 200
				})
				b.finish()
				for side, match := range map[string]func(*record.Httpflow) bool{
					"server": incoming(served), "client": outgoing(dialled),
				} {
					if got := b.counts(match); difference(got, want) != "" {
						t.Errorf("%s:%s", side, difference(got, want))
					}
					got := b.sum(match)
					if !h2 && (got.Req != w.sent.Load() || got.Resp != w.received.Load()) {
						t.Errorf("%s: %d and %d bytes, want %d and %d", side, got.Req, got.Resp, w.sent.Load(), w.received.Load())
					}
				}
				if b.stat(path.stat) == 0 {
					t.Error("nothing of it was counted")
				}
				t.Logf("%d gaps, %d late, %d duplicates, %d resync", b.stat(bpfPayloadStatSTAT_GAPS),
					b.stat(bpfPayloadStatSTAT_LATE), b.stat(bpfPayloadStatSTAT_DUPLICATES), b.stat(bpfPayloadStatSTAT_RESYNC))
			})
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
