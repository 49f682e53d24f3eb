package exec

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// hidden stands for what was taken out.
const hidden = "***"

// secretWord matches names of options and variables that hold secrets.
const secretWord = `[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|credential` +
	`|(?:api|access|private)[_-]?key)s?`

// builtIn are the patterns of "default". The groups are what is hidden.
func builtIn() []string {
	return []string{
		// --password=x, TOKEN=x, "password": "x", and the same in a script.
		`(?i)` + secretWord + `["']?\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|([^\s"'&;|]+))`,
		// --password x within the text of a script.
		`(?i)(?:^|\s)--?` + secretWord + `\s+(?:"([^"]*)"|'([^']*)'|([^\s"'&;|-][^\s"'&;|]*))`,
		// Authorization: Bearer x, and headers that carry keys.
		`(?i)(?:proxy-)?authorization:\s*(?:(?:basic|bearer|digest|token|negotiate|apikey)\s+)?([^\s"'][^"']*)`,
		`(?i)(?:x-[\w-]*(?:key|token|secret|auth)|cookie|private-token):\s*([^\s"'][^"']*)`,
		// scheme://user:x@host
		`://[^/\s:@]*:([^/\s@]+)@`,
		// mysql -px, sshpass -px and their kind in the text of a script.
		`(?:^|[\s;&|(/])(?:mysql\w*|mariadb[\w-]*|sshpass)\s(?:[^;&|]*\s)?-p(?:"([^"]*)"|'([^']*)'|([^\s"'&;|]+))`,
	}
}

// redactor hides secrets in arguments.
type redactor struct {
	patterns []*regexp.Regexp
	// options: the rules about arguments that stand one after the other.
	options   bool
	next      *regexp.Regexp
	attached  *regexp.Regexp
	harmless  *regexp.Regexp
	passwords *regexp.Regexp
}

// newRedactor takes regular expressions; "default" stands for the built-in
// ones. An error names the expression.
func newRedactor(list []string) (*redactor, error) {
	r := &redactor{}
	for _, p := range list {
		patterns := []string{p}
		if p == "default" {
			patterns, r.options = builtIn(), true
		}
		for _, p := range patterns {
			re, err := regexp.Compile(p)
			if err != nil {
				return nil, fmt.Errorf("exec_redact %q: %w", p, err)
			}
			r.patterns = append(r.patterns, re)
		}
	}
	r.next = regexp.MustCompile(`(?i)^--?` + secretWord + `$`)
	// -px: a secret, unless it looks like a port, a number or flags in a row.
	r.attached = regexp.MustCompile(`^-p(.+)$`)
	r.harmless = regexp.MustCompile(`^(?:[\d.,:/-]+|[a-zA-Z]{1,3})$`)
	r.passwords = regexp.MustCompile(`^(?:mysql|mariadb|sshpass)`)
	return r, nil
}

// arguments returns the arguments with secrets hidden.
func (r *redactor) arguments(argv []string) []string {
	if len(r.patterns) == 0 {
		return argv
	}
	out := make([]string, len(argv))
	for i, arg := range argv {
		if r.options && i > 0 {
			arg = r.option(argv, i)
		}
		for _, p := range r.patterns {
			arg = hide(p, arg)
		}
		out[i] = arg
	}
	return out
}

// option hides an argument that is the value of the one before it, or of itself.
func (r *redactor) option(argv []string, i int) string {
	arg, before := argv[i], argv[i-1]
	if i > 1 && r.next.MatchString(before) && !strings.HasPrefix(arg, "-") {
		return hidden
	}
	program := filepath.Base(argv[0])
	if m := r.attached.FindStringSubmatch(arg); m != nil {
		if r.passwords.MatchString(program) || !r.harmless.MatchString(m[1]) {
			return "-p" + hidden
		}
	}
	if user, _, ok := strings.Cut(arg, ":"); ok && program == "curl" && (before == "-u" || before == "--user") {
		return user + ":" + hidden
	}
	if before == "-p" && program == "sshpass" || before == "-a" && program == "redis-cli" {
		return hidden
	}
	return arg
}

// hide replaces the groups of each match, or the match when there are none.
func hide(p *regexp.Regexp, s string) string {
	matches := p.FindAllStringSubmatchIndex(s, -1)
	if matches == nil {
		return s
	}
	var b strings.Builder
	at := 0
	for _, m := range matches {
		spans := m[2:]
		if len(spans) == 0 {
			spans = m
		}
		for i := 0; i+1 < len(spans); i += 2 {
			if spans[i] < at { // not in this match, or within one that is hidden
				continue
			}
			b.WriteString(s[at:spans[i]])
			b.WriteString(hidden)
			at = spans[i+1]
		}
	}
	return b.String() + s[at:]
}
