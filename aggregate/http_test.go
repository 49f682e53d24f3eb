package aggregate

import (
	"fmt"
	"testing"

	"weft/record"
)

func request(path string, status int, latency int64) *record.Httpflow {
	r := &record.Httpflow{
		HTTPKey: record.HTTPKey{
			FlowKey: row(80, 0, 0, 0).FlowKey, Method: "GET", Path: path, Version: "1.1", Status: status, GRPCStatus: -1,
		},
		Count: 1, BytesRead: 100, BytesWritten: 10,
	}
	if status != 0 {
		r.LatencySum, r.LatencyMax, r.DurationSum, r.LatencyCount = latency, latency, 2*latency, 1
		r.Latencies.Add(latency)
	}
	return r
}

// totals are what no bound may change.
type totals struct {
	count, read, written, latency, duration, answered int64
	byStatus                                          map[int]int64
}

func sumHTTP(rows []record.Record) totals {
	s := totals{byStatus: map[int]int64{}}
	for _, r := range rows {
		h := r.(*record.Httpflow)
		s.count += h.Count
		s.read += h.BytesRead
		s.written += h.BytesWritten
		s.latency += h.LatencySum
		s.duration += h.DurationSum
		s.answered += h.LatencyCount
		s.byStatus[h.Status] += h.Count
		var counted int64
		for _, n := range h.Latencies {
			counted += int64(n)
		}
		if counted != h.LatencyCount {
			panic("the histogram does not add up")
		}
	}
	return s
}

func TestHTTPWindowMergesByKey(t *testing.T) {
	w := NewHTTPWindow(HTTPOptions{MaxRows: 10})
	w.Add(request("/a", 200, 100))
	w.Add(request("http://host/a", 200, 300))
	w.Add(request("/a", 500, 1))
	w.Add(request("/a", 0, 0))
	w.Add(request("/users/1", 200, 1))
	w.Add(request("/users/2", 200, 1))
	if w.Len() != 5 || w.Overflowed() != 0 {
		t.Fatalf("%d rows, %d overflowed", w.Len(), w.Overflowed())
	}
	found := false
	for _, r := range w.Flush(42) {
		h := r.(*record.Httpflow)
		if h.Time != 42 {
			t.Errorf("time %d, want 42", h.Time)
		}
		if h.Path != "/a" || h.Status != 200 {
			continue
		}
		found = true
		if h.Count != 2 || h.LatencySum != 400 || h.LatencyMax != 300 || h.DurationSum != 800 || h.LatencyCount != 2 ||
			h.BytesRead != 200 || h.BytesWritten != 20 || h.Latencies[0] != 2 {
			t.Errorf("not merged: %+v", h)
		}
	}
	if !found || w.Len() != 0 {
		t.Errorf("found %v, %d rows left", found, w.Len())
	}
}

func TestHTTPWindowTemplates(t *testing.T) {
	w := NewHTTPWindow(HTTPOptions{Template: true})
	w.Add(request("/users/1", 200, 1))
	w.Add(request("http://h/users/2", 200, 1))
	call := request("/pkg.Service/12345", 200, 1)
	call.GRPCService = "pkg.Service"
	w.Add(call)
	paths := map[string]int64{}
	for _, r := range w.Flush(1) {
		paths[r.(*record.Httpflow).Path] = r.(*record.Httpflow).Count
	}
	if len(paths) != 2 || paths["/users/{id}"] != 2 || paths["/pkg.Service/12345"] != 1 {
		t.Errorf("%v", paths)
	}
}

// Whatever the bound, the sums over all rows are those of the requests.
func TestHTTPWindowOverflowKeepsTotals(t *testing.T) {
	const n = 4000
	for _, limit := range []int{0, 1, 10, 500, n} {
		w := NewHTTPWindow(HTTPOptions{MaxRows: limit})
		var all []record.Record
		for i := range n {
			r := request(fmt.Sprint("/p/", i), []int{200, 404, 0}[i%3], int64(i))
			r.Dst = r.Dst.Next()
			r.DstPort, r.PID = record.Port(i%37), uint32(i%91)
			kept := *r
			all = append(all, &kept)
			w.Add(r)
		}
		// The host level has a row for each status.
		if most := 3*limit + 3; limit > 0 && w.Len() > most {
			t.Errorf("bound %d: %d rows", limit, w.Len())
		}
		if limit > 0 && int64(limit)+w.Overflowed() != n {
			t.Errorf("bound %d: %d overflowed", limit, w.Overflowed())
		}
		if got, want := fmt.Sprint(sumHTTP(w.Flush(1))), fmt.Sprint(sumHTTP(all)); got != want {
			t.Errorf("bound %d: %s, want %s", limit, got, want)
		}
	}
}

// The levels: the row of the flow, of the process, of the host.
func TestHTTPWindowLevels(t *testing.T) {
	w := NewHTTPWindow(HTTPOptions{MaxRows: 1})
	add := func(port record.Port, pid uint32, path string) {
		r := request(path, 200, 1)
		r.DstPort, r.PID, r.Comm, r.Truncated, r.TLS = port, pid, fmt.Sprint("p", pid), true, true
		w.Add(r)
	}
	add(1, 1, "/a") // as it is
	add(1, 1, "/b") // {overflow} of the flow
	add(2, 1, "/c") // {overflow} of the process
	add(3, 2, "/d") // {overflow} of the host
	add(1, 1, "/a")
	add(1, 1, "/e")
	add(3, 1, "/f")
	add(4, 3, "/g")
	want := map[string]int64{
		"/a 10.0.0.2 1 1 p1 GET 1.1 true true":          2,
		"{overflow} 10.0.0.2 1 1 p1 GET 1.1 false true": 2,
		"{overflow} invalid IP * 1 p1   false true":     2,
		"{overflow} invalid IP * 0    false true":       2,
	}
	for _, r := range w.Flush(1) {
		h := r.(*record.Httpflow)
		name := fmt.Sprint(h.Path, " ", h.Dst, " ", h.DstPort, " ", h.PID, " ", h.Comm, " ", h.Method, " ", h.Version, " ",
			h.Truncated, " ", h.TLS)
		if h.Count != want[name] || h.Status != 200 || h.GRPCStatus != -1 {
			t.Errorf("%s: %d, want %d", name, h.Count, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 || w.Overflowed() != 6 {
		t.Errorf("missing %v, %d overflowed", want, w.Overflowed())
	}
}

func BenchmarkHTTPWindowAdd(b *testing.B) {
	for _, template := range []bool{false, true} {
		b.Run(fmt.Sprint("template=", template), func(b *testing.B) {
			w := NewHTTPWindow(HTTPOptions{MaxRows: 10_000, Template: template})
			w.Add(request("/api/v1/users/me", 200, 1))
			r := request("/api/v1/users/me", 200, 1)
			b.ReportAllocs()
			for b.Loop() {
				w.Add(r)
			}
		})
	}
}
