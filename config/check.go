package config

import "slices"

// check looks for values that are fine alone but not together.
func (l *loader) check() {
	l.checkL7()
	l.checkPlugins()
	l.checkToken()
	l.checkSampling()
	l.budget()
}

// given returns the place that set a key of [[inputs.ebpf]].
func (l *loader) given(name string) (place, bool) {
	p, ok := l.from[string(blockEBPF)+"."+name]
	return p, ok
}

// checkL7 works the effective list out: the disabled list counts only when the
// enabled one is not given, and nothing given means httpflow.
func (l *loader) checkL7() {
	on, isOn := l.given("l7net_enabled")
	off, isOff := l.given("l7net_disabled")
	l7 := &l.cfg.L7
	isOn = isOn && len(l7.Enabled) > 0
	isOff = isOff && len(l7.Disabled) > 0
	switch {
	case isOn && isOff:
		for _, name := range l7.Disabled {
			if slices.Contains(l7.Enabled, name) {
				l.fail(later(on, off), `"`+name+`" is in both l7net_enabled and l7net_disabled; allowed: one of them`)
			}
		}
	case isOff:
		l7.Enabled = slices.DeleteFunc(l7Names(), func(n string) bool { return slices.Contains(l7.Disabled, n) })
	case !isOn:
		l7.Enabled = []string{"httpflow"}
	}
}

// later returns the place of the higher rank or line, which is the one to blame.
func later(a, b place) place {
	if a.rank > b.rank || a.rank == b.rank && a.line > b.line {
		return a
	}
	return b
}

// checkPlugins refuses plugins that would do nothing without another one.
func (l *loader) checkPlugins() {
	at, given := l.given("enabled_plugins")
	if len(l.cfg.EnabledPlugins) == 0 {
		l.cfg.EnabledPlugins = []string{"ebpf-net"}
	}
	on := func(name string) bool { return slices.Contains(l.cfg.EnabledPlugins, name) }
	if !given {
		return
	}
	for _, p := range []string{"ebpf-trace", "ebpf-conntrack"} {
		if on(p) && !on("ebpf-net") {
			l.fail(at, p+" works inside ebpf-net, which is not on; allowed: both")
		}
	}
	if on("ebpf-trace") && on("ebpf-net") && !slices.Contains(l.cfg.L7.Enabled, "httpflow") {
		if p, ok := l.given("l7net_disabled"); ok {
			at = p
		}
		if p, ok := l.given("l7net_enabled"); ok {
			at = p
		}
		l.fail(at, "ebpf-trace needs httpflow, which is not on; allowed: httpflow among the L7 flows")
	}
}

// checkToken refuses two tokens from one source; of two sources the higher wins.
func (l *loader) checkToken() {
	file, isFile := l.given("bearer_token")
	str, isStr := l.given("bearer_token_string")
	k8s := &l.cfg.K8s
	isFile = isFile && k8s.BearerToken != ""
	isStr = isStr && k8s.BearerTokenString != ""
	switch {
	case isFile && isStr && file.rank == str.rank:
		at := later(file, str)
		l.fail(at, "bearer_token and bearer_token_string are both given; allowed: one of them")
	case isStr && (!isFile || str.rank > file.rank):
		k8s.BearerToken = ""
	default:
		k8s.BearerTokenString = ""
	}
}

// checkSampling keeps one of the two ways. From one source the rate wins, as
// in the reference; of two sources the higher one.
func (l *loader) checkSampling() {
	rate, isRate := l.given("sampling_rate")
	pts, isPts := l.given("sampling_rate_pts_per_min")
	if !isRate || !isPts || l.cfg.SamplingRate == "" || l.cfg.SamplingPerMinute == "" {
		return
	}
	if pts.rank > rate.rank {
		l.cfg.SamplingRate = ""
		return
	}
	l.cfg.SamplingPerMinute = ""
	if pts.rank == rate.rank {
		l.warn(pts, "has no effect, because "+rate.short()+" wins")
	}
}
