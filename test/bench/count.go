package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// row is what is needed of one line of `weft run --sink stdout`.
type row struct {
	Name string `json:"name"`
	Tags struct {
		SrcPort   string `json:"src_port"`
		DstPort   string `json:"dst_port"`
		NetNS     string `json:"netns"`
		Process   string `json:"process_name"`
		Direction string `json:"direction"`
	} `json:"tags"`
	Fields map[string]any `json:"fields"`
}

// inode is the namespace's number in NS(<dev>:<ino>).
func (r *row) inode() uint64 {
	_, text, _ := strings.Cut(strings.TrimSuffix(r.Tags.NetNS, ")"), ":")
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

func (r *row) hasPort(ports []string) bool {
	return slices.Contains(ports, r.Tags.SrcPort) || slices.Contains(ports, r.Tags.DstPort)
}

// tally is a collector's own account of a load.
type tally struct {
	client, server figures
	rows           int
	// stranger describes the first row of a wrong process or direction.
	stranger string
}

// countFile sums the rows of a collector's output that belong to the load.
func countFile(path string, t truth, client, server uint64) (tally, error) {
	f, err := os.Open(path)
	if err != nil {
		return tally{}, fmt.Errorf("opening the collector's output: %w", err)
	}
	defer f.Close()
	return count(f, t, client, server)
}

// count tells the two ends apart by their network namespace: both are on this
// machine, and everything else on it is somebody else's.
func count(in io.Reader, t truth, client, server uint64) (tally, error) {
	sums := tally{client: figures{}, server: figures{}}
	decoder := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	for {
		var r row
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return sums, nil
		}
		if err != nil {
			return sums, fmt.Errorf("row %d of the collector's output: %w", sums.rows+1, err)
		}
		sums.rows++
		if r.Name != "netflow" && r.Name != t.detail.measurement || !r.hasPort(t.ports) {
			continue
		}
		switch r.inode() {
		case client:
			sums.add(sums.client, &r, t.client, t.detail)
		case server:
			sums.add(sums.server, &r, t.server, t.detail)
		}
	}
}

func (t *tally) add(f figures, r *row, e end, d detail) {
	if r.Tags.Process != e.process || r.Tags.Direction != e.direction {
		f[strangers]++
		if t.stranger == "" {
			t.stranger = fmt.Sprintf("row %d is %s %s, not %s %s", t.rows, r.Tags.Direction, r.Tags.Process,
				e.direction, e.process)
		}
	}
	if r.Name == d.measurement {
		d.add(f, r)
		return
	}
	for name, value := range r.Fields {
		if n, ok := value.(float64); ok {
			f[name] += int64(n)
		}
	}
}

// add sums a row of exchanges up.
func (d detail) add(f figures, r *row) {
	n := r.number("count")
	f[exchanges] += n
	f[exchangeRead] += r.number(bytesRead)
	f[exchangeWritten] += r.number(bytesWritten)
	if !slices.Contains(d.values, r.number(d.outcome)) {
		f[odd] += n
	}
}

// number is a field's value, 0 when there is none.
func (r *row) number(field string) int64 {
	n, _ := r.Fields[field].(float64)
	return int64(n)
}

// compareFile is the whole check: the rows of the load against its own count.
func compareFile(path string, t truth, l *lab) ([]comparison, error) {
	sums, err := countFile(path, t, l.client.inode, l.server.inode)
	if err != nil {
		return nil, err
	}
	if sums.stranger != "" {
		fmt.Fprintln(os.Stderr, "the first stranger:", sums.stranger)
	}
	t.client.want[strangers], t.server.want[strangers] = exactly(0), exactly(0)
	if t.detail.measurement != "" {
		t.client.want[odd], t.server.want[odd] = exactly(0), exactly(0)
	}
	return append(compare("client", t.client.want, sums.client), compare("server", t.server.want, sums.server)...), nil
}
