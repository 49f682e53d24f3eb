package config

import (
	"regexp"
	"strconv"
)

func execKeys() []Key {
	return []Key{
		{
			Name: "exec_redact", Default: "default", Example: `["default", "--pin=(.+)"]`,
			bind: checked(func(c *Config) *[]string { return &c.Exec.Redact }, "an array of regular expressions", expression),
			Help: "Regular expressions (RE2) of what ebpf-exec hides in arguments: their groups, or the match without any.\n" +
				"\"default\": values of what is named like password, token or key, -pVALUE, Authorization, URLs' passwords.",
		},
		{
			Name: "exec_max_args", Default: "4096", bind: integer(func(c *Config) *int { return &c.Exec.MaxArgs }, 256, 16384),
			Help: "Bytes of a program's arguments that are kept; longer ones are cut and marked args_truncated." + nextStart,
		},
	}
}

// expression checks an item of exec_redact.
func expression(s string) (item, wrong string) {
	if _, err := regexp.Compile(s); err != nil {
		return "", strconv.Quote(s) + " is no regular expression (" + err.Error() + ")"
	}
	return s, ""
}
