package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestSampleLoads(t *testing.T) {
	if c := mustLoad(t, Sample(), nil); len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

var commentedKey = regexp.MustCompile(`^( *)# (\w+ = .*|\[\[.*)$`)

// Each key of the sample loads when it alone is uncommented, and all together,
// but for the alternatives (## or).
func TestSampleUncommented(t *testing.T) {
	lines := strings.Split(Sample(), "\n")
	all := append([]string(nil), lines...)
	found := 0
	for i, line := range lines {
		if !commentedKey.MatchString(line) {
			continue
		}
		found++
		one := append([]string(nil), lines...)
		one[i] = commentedKey.ReplaceAllString(line, "$1$2")
		if !alternative(lines[:i]) {
			all[i] = one[i]
		}
		if strings.Contains(strings.Join(lines[:i], "\n"), "inputs.ebpftrace") {
			uncomment(one, "[[inputs.ebpftrace]]")
		}
		if _, err := load(t, strings.Join(one, "\n"), nil); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	if found < 40 {
		t.Errorf("only %d commented keys", found)
	}
	c, err := load(t, strings.Join(all, "\n"), nil)
	if err != nil || !c.Linker.Enabled || c.Tags["some_tag"] != "some_value" {
		t.Errorf("all at once: %v\n%s", err, strings.Join(all, "\n"))
	}
}

// alternative tells whether the comment above a key begins with "or".
func alternative(above []string) bool {
	for i := len(above) - 1; i >= 0 && strings.HasPrefix(strings.TrimSpace(above[i]), "##"); i-- {
		if strings.TrimSpace(above[i]) == "## or" {
			return true
		}
	}
	return false
}

func uncomment(lines []string, what string) {
	for i := range lines {
		if lines[i] == "# "+what {
			lines[i] = what
		}
	}
}

func TestSampleHoldsEveryKey(t *testing.T) {
	for _, k := range keys() {
		if k.bind.typ != "table" && !strings.Contains(Sample(), " "+k.Name+" = ") {
			t.Errorf("%s is not in the sample", k.Name)
		}
	}
}

func TestDocumentIsFresh(t *testing.T) {
	got, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Error("docs/configuration.md is stale: go run ./cmd/weft docs configuration > docs/configuration.md")
	}
}
