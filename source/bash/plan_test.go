package bash

import (
	"os"
	"slices"
	"testing"

	"weft/probe/uprobe"
)

// What a file is, by what it really holds.
func TestInspect(t *testing.T) {
	has := func(p plan, program string) bool {
		return slices.ContainsFunc(p.points, func(pt uprobe.Point) bool {
			return pt.Program == program && len(pt.Offsets) > 0
		})
	}
	for _, c := range []struct {
		path                 string
		shell, all, complain bool
	}{
		{"/bin/bash", true, true, false},
		{"/bin/bash-static", true, false, true}, // stripped: it must be named, not passed over
		{"/bin/sh", false, false, false},
		{"/bin/true", false, false, false},
		{"/etc/passwd", false, false, false},
	} {
		if _, err := os.Stat(c.path); err != nil {
			t.Logf("%s is not installed", c.path)
			continue
		}
		p := inspect(c.path, c.path)
		if p.shell != c.shell || (p.why != "") != c.complain {
			t.Errorf("%s: shell %v, why %q", c.path, p.shell, p.why)
		}
		for _, program := range probes() {
			if has(p, program) != c.all {
				t.Errorf("%s: %s is placed: %v", c.path, program, !c.all)
			}
		}
		if c.all && (p.info.LineCount == 0 || p.info.InBuiltin == 0) {
			t.Errorf("%s: its variables are not known: %+v", c.path, p.info)
		}
	}
}
