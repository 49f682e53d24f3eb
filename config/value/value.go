// Package value reads single values of the configuration from their text. Each
// function returns the value and what is wrong with the text, "" for nothing.
package value

import (
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Integer is a whole number from lo to hi, in any of TOML's forms.
func Integer(s string, lo, hi int64) (int, string) {
	s = strings.ReplaceAll(s, "_", "")
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n, err = strconv.ParseInt(s, 0, 64) // TOML's 0x, 0o, 0b
	}
	if err != nil {
		return 0, "is not an integer"
	}
	if n < lo || n > hi {
		return 0, "is out of range"
	}
	return int(n), ""
}

// Number is a float from lo to hi.
func Number(s string, lo, hi float64) (float64, string) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) {
		return 0, "is not a number"
	}
	if n < lo || n > hi {
		return 0, "is out of range"
	}
	return n, ""
}

var sizeForm = regexp.MustCompile(`^(?i)([0-9]*\.?[0-9]+|[0-9]+\.)([KMG])(B|iB)?$`)

// Size is a number of bytes with a unit: K, M, G and KB, MB, GB are powers of
// 1000, KiB, MiB, GiB of 1024, in any case.
func Size(s string) (int64, string) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, "is not a size"
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, "is not a size"
	}
	base := 1000.0
	if strings.EqualFold(m[3], "iB") {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.Index("KMG", strings.ToUpper(m[2]))+1))
	if n < 1 || n >= math.MaxInt64 {
		return 0, "is out of range"
	}
	return int64(n), ""
}

// URL is an http or https address, without query and without a slash at its end.
func URL(s string) (string, string) {
	u, err := url.Parse(s)
	if err != nil {
		return "", "is not an address"
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", "does not begin with http:// or https://"
	}
	if u.Hostname() == "" {
		return "", "has no host"
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", "has a query or fragment"
	}
	if u.Port() != "" && !Port(u.Port()) {
		return "", "has a bad port"
	}
	return strings.TrimRight(s, "/"), ""
}

// Port tells whether the text is a port from 1 to 65535.
func Port(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
