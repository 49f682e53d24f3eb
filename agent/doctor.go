package agent

import (
	"io"

	"weft/config"
)

// Doctor opens every door as `weft run` would and prints what it found.
func Doctor(w io.Writer, cfg *config.Config, asJSON bool) error { return nil }
