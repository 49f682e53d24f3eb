package config

import (
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// variable is one KEY=VALUE with the place where it was set.
type variable struct {
	name, value string
	at          place
}

// readEnv returns the settings of the environment.
func readEnv(s *schema, environ []string) ([]setting, []Problem) {
	vars := make([]variable, 0, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		vars = append(vars, variable{name: name, value: value, at: place{rank: rankEnv, key: name}})
	}
	return readVariables(s, vars)
}

// readBlockEnv returns the settings of the block's envs, and the variables that
// are no key's.
func readBlockEnv(s *schema, items []raw, at place) (settings []setting, others []string, problems []Problem) {
	var vars []variable
	for _, it := range items {
		if it.kind != unstable.String {
			continue // reported with the type of envs
		}
		name, value, ok := strings.Cut(it.text, "=")
		name = strings.TrimSpace(name)
		here := at
		here.line = it.line
		if !ok || name == "" {
			problems = append(problems, here.problem(`"`+it.text+`" is not a variable; allowed: KEY=VALUE`))
			continue
		}
		here.key += ": " + name
		vars = append(vars, variable{name: name, value: value, at: here})
		if s.env[name] == nil {
			others = append(others, name+"="+value)
		}
	}
	settings, more := readVariables(s, vars)
	return settings, others, append(problems, more...)
}

// readVariables picks the collector's variables out. An empty variable counts
// as unset, since manifests often carry variables without a value.
func readVariables(s *schema, vars []variable) (settings []setting, problems []Problem) {
	for i := range s.all {
		k := &s.all[i]
		names := k.envNames()
		slices.Reverse(names) // the preferred name is applied last and wins
		for _, name := range names {
			if v, ok := lastVariable(vars, name); ok {
				settings = append(settings, setting{key: k, val: raw{text: v.value}, at: v.at})
			}
		}
	}
	for _, v := range vars {
		if ours := strings.HasPrefix(v.name, "ENV_INPUT_EBPF"); ours && s.env[v.name] == nil {
			p := v.at.problem("unknown variable" + hint(v.name, sortedNames(s.env), "those of docs/configuration.md"))
			p.Warning = true
			problems = append(problems, p)
		}
	}
	return settings, problems
}

func lastVariable(vars []variable, name string) (variable, bool) {
	for i := len(vars) - 1; i >= 0; i-- {
		if vars[i].name == name {
			return vars[i], strings.TrimSpace(vars[i].value) != ""
		}
	}
	return variable{}, false
}
