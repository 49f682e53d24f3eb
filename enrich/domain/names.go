package domain

import "slices"

// maxNames bounds the names of an address within a scope. One that answers to
// more, such as a CDN's, is ambiguous anyway.
const maxNames = 4

type named struct {
	name  string
	until int64 // ns
}

// names are those asked for an address, the last asked first.
type names []named

// add puts the name in front. An earlier answer that holds longer still holds.
// Over the bound the one that ends first leaves: all that stay outlive it, so
// that only never takes one of several for the only one.
func (n names) add(name string, until int64) names {
	at := slices.IndexFunc(n, func(have named) bool { return have.name == name })
	switch {
	case at >= 0:
		until = max(until, n[at].until)
	case len(n) < maxNames:
		at = len(n)
		n = append(n, named{})
	default:
		at = 0
		for i := range n {
			if n[i].until < n[at].until {
				at = i
			}
		}
	}
	copy(n[1:at+1], n[:at])
	n[0] = named{name, until}
	return n
}

// last is the last asked name that has not expired, or "".
func (n names) last(now int64) string {
	for i := range n {
		if n[i].until > now {
			return n[i].name
		}
	}
	return ""
}

// only is the name that has not expired if there is just one, else "".
func (n names) only(now int64) string {
	found := ""
	for i := range n {
		if n[i].until <= now {
			continue
		}
		if found != "" {
			return ""
		}
		found = n[i].name
	}
	return found
}
