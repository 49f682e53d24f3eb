package selection

import (
	"strings"
	"unicode/utf8"
)

// match tells whether the glob is for all of s.
func match(glob, s string) bool {
	rest, ok := walk(glob, s)
	return ok && strings.Trim(rest, "*") == ""
}

// mayBegin tells whether the glob is for s or for something that begins so.
func mayBegin(glob, s string) bool {
	_, ok := walk(glob, s)
	return ok
}

// walk goes through s along the glob and returns what of the glob is left at
// the end of s. Only the last star is ever widened, so it takes at most
// len(glob)*len(s) steps.
func walk(glob, s string) (rest string, ok bool) {
	g, i := 0, 0
	star, from := -1, 0 // the last star, and where what it stands for ends
	for i < len(s) {
		_, char := utf8.DecodeRuneInString(s[i:])
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, i
			g++
		case g < len(glob) && glob[g] == '?':
			g++
			i += char
		case g < len(glob) && glob[g] == s[i]:
			g++
			i++
		case star >= 0:
			_, char = utf8.DecodeRuneInString(s[from:])
			from += char
			g, i = star+1, from
		default:
			return "", false
		}
	}
	return glob[g:], true
}
