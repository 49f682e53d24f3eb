package selection

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		glob, s    string
		all, begin bool
	}{
		{"nginx", "nginx", true, true},
		{"nginx", "nginx-debug", false, false},
		{"nginx-debug", "nginx", false, true},
		{"nginx", "Nginx", false, false},
		{"nginx*", "nginx", true, true},
		{"*nginx", "/usr/sbin/nginx", true, true},
		{"/usr/*/nginx", "/usr/local/sbin/nginx", true, true},
		{"/usr/*/nginx", "/usr/nginx", false, true},
		{"*a*b*c", "xxaxxbxxbxc", true, true},
		{"*a*b*c", "xxaxxbxxbx", false, true},
		{"a*b", "ac", false, true},
		{"ab*", "ac", false, false},
		{"?", "é", true, true},
		{"??", "é", false, true},
		{"*??", "aé", true, true},
		{"*?x", "éx", true, true},
		{"?", "", false, true},
		{"", "", true, true},
		{"", "x", false, false},
		{"*", "", true, true},
		{"**", "any/thing", true, true},
		{"[a]", "a", false, false},
		{"a?", "a\xff", true, true},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 5000), false, true},
	} {
		if got := match(tt.glob, tt.s); got != tt.all {
			t.Errorf("%q for %.40q: %v", tt.glob, tt.s, got)
		}
		if got := mayBegin(tt.glob, tt.s); got != tt.begin {
			t.Errorf("%q may begin %.40q: %v", tt.glob, tt.s, got)
		}
	}
}

// FuzzMatch compares with a regular expression of the same meaning.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*??x*", "ééx")
	f.Add("**?", "é")
	f.Fuzz(func(t *testing.T, glob, s string) {
		if !utf8.ValidString(glob) || !utf8.ValidString(s) || len(glob) > 50 || len(s) > 200 {
			return
		}
		quoted := regexp.QuoteMeta(glob)
		quoted = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(strings.ReplaceAll(quoted, `\\`, "\x01"))
		re, err := regexp.Compile("(?s)^" + strings.ReplaceAll(quoted, "\x01", `\\`) + "$")
		if err != nil || strings.Contains(glob, "\x01") {
			return
		}
		if got := match(glob, s); got != re.MatchString(s) {
			t.Errorf("%q for %q: %v", glob, s, got)
		}
		if match(glob, s) && !mayBegin(glob, s[:len(s)/2]) {
			t.Errorf("%q matches %q but not its beginning", glob, s)
		}
	})
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"nginx":                  "want name:",
		"":                       "want name:",
		"name:":                  "want name:",
		"Name:x":                 "want name:",
		"names:x":                "want name:",
		"env:=x":                 "variable's name",
		"uid:root":               "number",
		"uid:-1":                 "number",
		"uid:4294967296":         "number",
		"container:":             "want name:",
		"/usr/bin/x":             "want name:",
		"path:":                  "want name:",
		"cgroup:":                "want name:",
		"pid:1":                  "want name:",
		"env:":                   "want name:",
		"http://name:x":          "want name:",
		"uid:1000 # the service": "number",
	} {
		_, allow := Parse([]string{text}, nil)
		_, deny := Parse(nil, []string{text})
		for list, err := range map[string]error{"allow": allow, "deny": deny} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), list) {
				t.Errorf("%s %q: %v, want %q", list, text, err, want)
			}
		}
	}
	r, err := Parse([]string{"name:x", "uid:a"}, []string{"what:x"})
	if err == nil || strings.Count(err.Error(), "read ") != 2 {
		t.Errorf("%v, want both mistakes", err)
	}
	if !r.empty() {
		t.Error("rules with mistakes are not empty")
	}
	for _, text := range []string{
		" name:a:b ", "env:A", "env:A=", "env:A=b=c", "uid:0", "container:*", "cgroup:/", "path:*",
	} {
		if _, err := Parse([]string{text}, []string{text}); err != nil {
			t.Error(err)
		}
	}
}

// TestJudge has all combinations of what the lists may say.
func TestJudge(t *testing.T) {
	say := func(v ...verdict) (rules []rule) {
		for _, one := range v {
			rules = append(rules, func(*facts) verdict { return one })
		}
		return rules
	}
	for _, tt := range []struct {
		allow, deny    []rule
		wanted, unsure bool
	}{
		{nil, nil, true, false},
		{say(yes), nil, true, false},
		{say(no), nil, false, false},
		{say(maybe), nil, false, true},
		{say(no, maybe, yes), nil, true, false},
		{say(maybe, no), nil, false, true},
		{nil, say(yes), false, false},
		{nil, say(no), true, false},
		{nil, say(maybe), true, true},
		{nil, say(maybe, yes), false, false},
		{say(yes), say(yes), false, false}, // deny wins
		{say(maybe), say(yes), false, false},
		{say(yes), say(no), true, false},
		{say(yes), say(maybe), true, true},
		{say(no), say(maybe), false, false}, // whatever deny says
		{say(maybe), say(maybe), false, true},
		{say(maybe), say(no), false, true},
		{say(no), say(no), false, false},
	} {
		r := Rules{allow: tt.allow, deny: tt.deny}
		if wanted, unsure := r.judge(&facts{}); wanted != tt.wanted || unsure != tt.unsure {
			t.Errorf("%d allow, %d deny: wanted %v, unsure %v", len(tt.allow), len(tt.deny), wanted, unsure)
		}
	}
}
