package payload

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"testing"
)

// TestShed: while payload is left out, what is left out is not counted, also not
// as unanswered, and all of the rest is; afterwards everything is again, also on
// connections that were open meanwhile.
func TestShed(t *testing.T) {
	b := start(t, testConfig())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, site)
	port := l.Addr().(*net.TCPAddr).Port
	base := "http://" + l.Addr().String()
	var w wire
	kept := &http.Client{Transport: transport(&w, "tcp", false)}
	want := map[string]int64{}
	for i, level := range []Shedding{ShedNothing, ShedParsed, ShedHTTP, ShedParsed, ShedNothing} {
		b.shed(level)
		one, two := want, want
		if level != ShedNothing {
			two = nil
		}
		if level == ShedHTTP {
			one = nil
		}
		for n := range 3 {
			fetch(t, kept, one, "1.1", "GET", base, fmt.Sprintf("/s/200/%d", 100*i+n), -1)
			again := &http.Client{Transport: transport(&w, "tcp", n == 0)}
			if n == 0 {
				fetch(t, again, two, "2", "GET", base, fmt.Sprintf("/s/200/%d", 100*i+50), -1)
			} else {
				fetch(t, again, one, "1.1", "POST", base, fmt.Sprintf("/s/200/%d", 100*i+60+n), 5000)
			}
			again.CloseIdleConnections()
		}
		// What was taken is there before more is left out.
		b.await(port, count(want))
	}
	kept.CloseIdleConnections()
	b.finish()
	for side, match := range sides(port) {
		if got := b.counts(match); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", side, got, want)
		}
	}
	if b.final[bpfPayloadStatSTAT_SHED] == 0 {
		t.Error("no packet counts as left out")
	}
}

// shed does as the agent does.
func (b *bench) shed(level Shedding) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.source.Shed(level); err != nil {
		b.t.Fatal(err)
	}
	if level != ShedNothing {
		b.engine.Shed()
	}
}
