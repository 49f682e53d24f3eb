package config

import (
	"net"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"weft/config/value"
)

// size takes a number with a unit: K, M, G and KB, MB, GB are powers of 1000,
// KiB, MiB, GiB of 1024, in any case. A rate may end in /s. "" is 0, off.
func size(at func(*Config) *int64, rate bool) binding {
	b := binding{typ: "size", kinds: textKinds()}
	b.allowed = `a number with one of K KB KiB M MB MiB G GB GiB, such as "4GiB"`
	if rate {
		b.typ = "rate"
		b.allowed = `a number with one of K KB KiB M MB MiB G GB GiB and optionally /s, such as "100MiB/s"`
	}
	return scalar(b, at, func(s string) (int64, string) {
		if s == "" {
			return 0, ""
		}
		if rate && len(s) > 2 && strings.EqualFold(s[len(s)-2:], "/s") {
			s = s[:len(s)-2]
		}
		return value.Size(s)
	})
}

// serverURL takes the address of a DataKit-like server: host:port or a URL, to
// which http:// is added. "" takes the value of empty.
func serverURL(at func(*Config) *string, empty string) binding {
	b := binding{typ: "address", kinds: textKinds()}
	b.allowed = `host:port or an http:// or https:// URL, such as "127.0.0.1:9529"`
	return scalar(b, at, func(s string) (string, string) {
		if s == "" {
			return empty, ""
		}
		if !strings.Contains(s, "://") {
			s = "http://" + s
		}
		return value.URL(s)
	})
}

// fullURL takes an http:// or https:// URL; the scheme must be given.
func fullURL(at func(*Config) *string) binding {
	b := binding{typ: "address", kinds: textKinds(), allowed: `an http:// or https:// URL, or nothing`}
	return scalar(b, at, func(s string) (string, string) {
		if s == "" {
			return "", ""
		}
		return value.URL(s)
	})
}

// listenAddress takes host:port; "" and "off" turn the server off.
func listenAddress(at func(*Config) *string) binding {
	b := binding{typ: "address", kinds: textKinds()}
	b.allowed = `host:port, such as "127.0.0.1:9530", or "off"`
	return scalar(b, at, func(s string) (string, string) {
		if s == "" || strings.EqualFold(s, "off") {
			return "", ""
		}
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return "", "is not an address"
		}
		// Port 0 lets the kernel choose, which tests need.
		if port != "0" && !value.Port(port) {
			return "", "has a bad port"
		}
		return s, ""
	})
}

// portText takes a port number that Config keeps as text, "" meaning off.
func portText(at func(*Config) *string) binding {
	b := binding{typ: "string", kinds: numberKinds(), allowed: `a port from 1 to 65535, such as "6061"`}
	return scalar(b, at, func(s string) (string, string) {
		if s != "" && !value.Port(s) {
			return "", "is not a port"
		}
		return s, ""
	})
}

// tags takes a table of strings, an array of "key=value", or as text such
// items between commas or semicolons. Tags of several sources are merged.
func tags(at func(*Config) map[string]string) binding {
	b := binding{
		typ: "table", kinds: []unstable.Kind{unstable.InlineTable, unstable.Array},
		allowed: `a table of strings or "key=value" items between commas`,
	}
	b.parse = func(c *Config, v raw) []fault {
		found, faults := parseTags(v)
		if faults != nil {
			return faults
		}
		for k, val := range found {
			at(c)[k] = val
		}
		return nil
	}
	return b
}

func parseTags(v raw) (map[string]string, []fault) {
	out := map[string]string{}
	if v.kind == unstable.InlineTable {
		return out, tableTags(out, v.pairs)
	}
	items := v.items
	if v.isText() {
		items = splitList(strings.ReplaceAll(v.text, ";", ","))
	}
	var faults []fault
	for _, it := range items {
		key, val, ok := strings.Cut(it.text, "=")
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		if !ok || key == "" {
			faults = append(faults, fault{line: it.line, text: strconv.Quote(it.text) + ` is not a tag; allowed: key=value`})
			continue
		}
		if old, twice := out[key]; twice && old != val {
			faults = append(faults, fault{line: it.line, text: "the tag " + strconv.Quote(key) +
				" is given twice, as " + strconv.Quote(old) + " and " + strconv.Quote(val) + "; allowed: one value for each tag"})
		}
		out[key] = val
	}
	return out, faults
}

func tableTags(out map[string]string, pairs []entry) (faults []fault) {
	for _, p := range pairs {
		key := strings.Join(p.path, ".")
		switch {
		case p.val.kind != unstable.String:
			faults = append(faults, fault{line: p.line, key: key, text: "is " + kindName(p.val.kind) + "; allowed: a string"})
		case strings.TrimSpace(key) == "":
			faults = append(faults, fault{line: p.line, text: "a tag has no name; allowed: name = \"value\""})
		default:
			out[key] = p.val.text
		}
	}
	return faults
}
