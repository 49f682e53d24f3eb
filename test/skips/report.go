package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// skip is a test that was skipped and the reason it gave.
type skip struct{ pkg, test, reason string }

// report gathers the outcome of all tests while it prints what failed.
type report struct {
	out                            io.Writer
	output                         map[string]*strings.Builder // by package and test
	skipped                        []skip
	passed, failed, packagesFailed int
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, lines.Text()) // go's own words, e.g. a bad go.mod
			continue
		}
		if e.Test == "" {
			r.pkg(e)
		} else {
			r.test(e)
		}
	}
	return lines.Err()
}

// pkg takes an event of a whole package, or of its build.
func (r *report) pkg(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.keep(e)
	case "pass":
		fmt.Fprintf(r.out, "ok  \t%s\t%.3fs\n", e.Package, e.Elapsed)
	case "fail":
		r.packagesFailed++
		fmt.Fprint(r.out, r.take(e))
		fmt.Fprintf(r.out, "FAIL\t%s\t%.3fs\n", e.Package, e.Elapsed)
	}
}

// test takes an event of one test.
func (r *report) test(e event) {
	switch e.Action {
	case "output":
		r.keep(e)
	case "pass":
		r.passed++
		r.take(e)
	case "fail":
		r.failed++
		fmt.Fprint(r.out, r.take(e))
	case "skip":
		r.skipped = append(r.skipped, skip{e.Package, e.Test, reason(r.take(e))})
	}
}

func (r *report) keep(e event) {
	b := r.output[e.Package+" "+e.Test]
	if b == nil {
		b = &strings.Builder{}
		r.output[e.Package+" "+e.Test] = b
	}
	b.WriteString(e.Output)
}

// take returns what the test printed and forgets it.
func (r *report) take(e event) string {
	b := r.output[e.Package+" "+e.Test]
	if b == nil {
		return ""
	}
	delete(r.output, e.Package+" "+e.Test)
	return b.String()
}

// reason is what the test said last, without the runner's own lines.
func reason(output string) string {
	why := "no reason given"
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		why = line
	}
	return why
}
