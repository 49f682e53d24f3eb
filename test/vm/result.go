package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Outcomes, as test2json names them.
const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
)

// result is one test on one kernel.
type result struct {
	pkg     string
	test    string // "" stands for the package as a whole
	outcome string
	// reason is a skip's message, or why a failed test has no output of its own.
	reason  string
	output  string
	elapsed time.Duration
}

// event is a line of `go tool test2json`.
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

// collect turns the events of one package into results, in order of start. exit is the binary's exit code, or -1
// when the kernel died meanwhile.
func collect(pkg string, events io.Reader, exit int) ([]result, error) {
	var (
		list  []*result
		index = map[string]*result{}
		whole = &result{pkg: pkg}
	)
	find := func(test string) *result {
		if test == "" {
			return whole
		}
		if index[test] == nil {
			index[test] = &result{pkg: pkg, test: test}
			list = append(list, index[test])
		}
		return index[test]
	}
	for dec := json.NewDecoder(events); ; {
		var e event
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading test2json: %w", err)
		}
		find(e.Test).take(e)
	}
	return conclude(whole, list, exit), nil
}

func (r *result) take(e event) {
	switch e.Action {
	case "output":
		r.output += e.Output
	case passed, failed, skipped:
		if r.outcome != failed { // with -test.count one failure of many counts
			r.outcome = e.Action
		}
		r.elapsed = time.Duration(e.Elapsed * float64(time.Second))
	}
}

// conclude gives each test an outcome and, when no test accounts for the exit code, adds the package as a failure.
func conclude(whole *result, list []*result, exit int) []result {
	var out []result
	anyFailed := false
	for _, r := range list {
		switch r.outcome {
		case skipped:
			r.reason = skipReason(r.output)
		case "":
			r.outcome, r.reason = failed, fmt.Sprintf("did not finish, exit code %d", exit)
			if exit < 0 {
				r.reason = "did not finish: the kernel or the VM ended"
			}
		}
		anyFailed = anyFailed || r.outcome == failed
		out = append(out, *r)
	}
	if exit != 0 && !anyFailed {
		whole.outcome, whole.reason = failed, fmt.Sprintf("exit code %d", exit)
		if exit < 0 {
			whole.reason = "the kernel or the VM ended"
		}
		out = append(out, *whole)
	}
	return out
}

// skipReason takes the last logged message from a skipped test's output: "    conn_test.go:12: no kprobes".
func skipReason(output string) string {
	logged := regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*(?:\n {8}.*)*)`)
	all := logged.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return "no reason given"
	}
	return strings.Join(strings.Fields(all[len(all)-1][1]), " ")
}
