package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printTable shows tests × kernels. A subtest has a row only where it tells more than its test: not passed.
func printTable(w io.Writer, runs []run) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "TEST")
	for _, r := range runs {
		fmt.Fprintf(t, "\t%s", r.kernel.short())
	}
	fmt.Fprintln(t)
	for _, key := range rows(runs) {
		fmt.Fprint(t, key)
		for _, r := range runs {
			fmt.Fprintf(t, "\t%s", cell(r, key))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

// rows lists the tests of all kernels in order of appearance.
func rows(runs []run) []string {
	var keys []string
	seen := map[string]bool{}
	for _, r := range runs {
		for _, res := range r.results {
			key := res.key()
			if seen[key] || strings.Contains(res.test, "/") && res.outcome == passed {
				continue
			}
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

func (r result) key() string {
	name := strings.TrimPrefix(r.pkg, "weft/")
	if r.test == "" {
		return name + " (package)"
	}
	return name + " " + r.test
}

func cell(r run, key string) string {
	for _, res := range r.results {
		if res.key() == key {
			return res.outcome
		}
	}
	return "-"
}

// printDetails tells, below the table, why tests were skipped and what failed ones said.
func printDetails(w io.Writer, runs []run) {
	for _, r := range runs {
		for _, note := range r.report.notes {
			fmt.Fprintf(w, "note  %s: %s\n", r.kernel.short(), note)
		}
		for _, res := range r.results {
			if res.outcome == skipped {
				fmt.Fprintf(w, "skip  %s: %s: %s\n", r.kernel.short(), res.key(), res.reason)
			}
		}
	}
	for _, r := range runs {
		for _, res := range r.results {
			if res.outcome == failed {
				fmt.Fprintf(w, "\nFAIL  %s: %s %s\n%s", r.kernel.short(), res.key(), res.reason, indent(tail(res.output, 60)))
			}
		}
		if r.err != nil {
			fmt.Fprintf(w, "\nFAIL  %s: %s", r.kernel.short(), strings.TrimLeft(indent(r.err.Error()), " "))
		}
	}
}

// printSummary has one line a kernel and tells whether all is well.
func printSummary(w io.Writer, runs []run) (ok bool) {
	ok = true
	fmt.Fprintln(w)
	for _, r := range runs {
		count := map[string]int{}
		for _, res := range r.results {
			count[res.outcome]++
		}
		word := "ok"
		if r.err != nil || count[failed] > 0 {
			word, ok = "FAIL", false
		}
		fmt.Fprintf(w, "%-5s %-28s %3d passed %3d failed %3d skipped  boot %v, whole %v\n", word, r.kernel.version,
			count[passed], count[failed], count[skipped],
			r.report.boot.Round(100*time.Millisecond), r.took.Round(100*time.Millisecond))
	}
	return ok
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}
