package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// leave says that the tests that match may be skipped.
type leave struct{ pkg, test *regexp.Regexp }

type leaves []leave

func (l leaves) has(pkg, test string) bool {
	for _, a := range l {
		if a.pkg.MatchString(pkg) && a.test.MatchString(test) {
			return true
		}
	}
	return false
}

// readAllow reads lines of: package regexp, test regexp, reason. Blank lines
// and lines that begin with # are left out.
func readAllow(path string) (leaves, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all leaves
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("%s:%d: want package, test and a reason", path, n)
		}
		l, err := newLeave(words[0], words[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		all = append(all, l)
	}
	return all, lines.Err()
}

func newLeave(pkg, test string) (leave, error) {
	p, err := regexp.Compile("^(?:" + pkg + ")$")
	if err != nil {
		return leave{}, err
	}
	t, err := regexp.Compile("^(?:" + test + ")$")
	return leave{p, t}, err
}
