package config

import "regexp"

func execKeys() []Key {
	return []Key{
		{
			Name: "exec_redact", Default: "default", Example: `["default", "--pin=(.+)"]`,
			bind: expressions(func(c *Config) *[]string { return &c.Exec.Redact }),
			Help: "What ebpf-exec hides in arguments: regular expressions (RE2), of which the groups are replaced by ***,\n" +
				"or the whole match without groups. \"default\" stands for the built-in ones: values of options and variables\n" +
				"named like password, secret, token or key, -pVALUE, Authorization and key headers, passwords in URLs.\n" +
				"An empty list hides nothing.",
		},
		{
			Name: "exec_max_args", Default: "4096", bind: integer(func(c *Config) *int { return &c.Exec.MaxArgs }, 256, 16384),
			Help: "Bytes of a program's arguments that are kept; longer ones are cut and marked args_truncated." + nextStart,
		},
		{
			Name: "exec_max_procs", Default: "65536",
			bind: integer(func(c *Config) *int { return &c.Exec.MaxProcs }, 1024, 1<<22),
			Help: "Largest number of running programs whose end is told." + nextStart,
		},
	}
}

// expressions takes a list of regular expressions.
func expressions(at func(*Config) *[]string) binding {
	b := list(at)
	b.allowed = "an array of regular expressions, or \"default\""
	take := b.parse
	b.parse = func(c *Config, v raw) []fault {
		items, faults := stringItems(v, nil)
		for _, p := range items {
			if _, err := regexp.Compile(p); err != nil {
				faults = append(faults, faultf("%q is no regular expression (%v); allowed: %s", p, err, b.allowed)...)
			}
		}
		if faults != nil {
			return faults
		}
		return take(c, v)
	}
	return b
}
