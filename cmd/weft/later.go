package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// laterCommands are commands whose feature is not built yet. They are listed so
// that scripts and people learn it from the program and not from a guess.
func laterCommands() []*cobra.Command {
	filter := &cobra.Command{
		Use:   "filter",
		Short: "Work with the netlog_blacklist language (not built yet)",
	}
	filter.AddCommand(later("explain", "filter explain: the packet filter language is not built yet"))
	return []*cobra.Command{
		later("replay", "replay: reading packets from a file is not built yet"),
		later("link", "link: the span linker is not built yet"),
		later("top", "top: the live view in the terminal is not built yet"),
		later("query", "query: the embedded store is not built yet"),
		filter,
	}
}

func later(use, message string) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: "Not built yet",
		Args:  cobra.ArbitraryArgs,
		// Its flags are not known yet, so none is a mistake.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE:               func(*cobra.Command, []string) error { return usageError{errors.New(message)} },
	}
}
