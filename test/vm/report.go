package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"weft/test/vm/guest"
)

// report is what a guest said on its second serial port.
type report struct {
	release string
	boot    time.Duration // the kernel's start to init
	notes   []string
	parts   []part
	done    bool
}

// part is a package's run.
type part struct {
	pkg    string
	output string
	exit   int // -1 when the guest ended before the binary did
	took   time.Duration
}

// parseReport separates init's marks from the tests' output. It never fails: a guest can die anywhere.
func parseReport(text string) report {
	var r report
	var open *part
	for line := range strings.Lines(text) {
		mark, marked := strings.CutPrefix(line, guest.Mark)
		switch {
		case marked:
			open = r.take(strings.Fields(mark), open)
		case open != nil:
			open.output += line
		}
	}
	return r
}

// take handles one mark and returns the package that runs after it.
func (r *report) take(words []string, open *part) *part {
	switch {
	case len(words) == 3 && words[0] == guest.Up:
		r.release, r.boot = words[1], millis(words[2])
	case len(words) > 1 && words[0] == guest.Note:
		r.notes = append(r.notes, strings.Join(words[1:], " "))
	case len(words) == 2 && words[0] == guest.Begin:
		r.parts = append(r.parts, part{pkg: words[1], exit: -1})
		return &r.parts[len(r.parts)-1]
	case len(words) == 4 && words[0] == guest.End && open != nil:
		code, err := strconv.Atoi(words[2])
		if err != nil {
			r.notes = append(r.notes, fmt.Sprintf("bad exit code %q", words[2]))
			return nil
		}
		open.exit, open.took = code, millis(words[3])
		return nil
	case len(words) == 1 && words[0] == guest.Done:
		r.done = true
	}
	return open
}

func millis(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}
