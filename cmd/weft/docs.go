package main

import (
	"io"

	"github.com/spf13/cobra"

	"weft/config"
)

// docsCommand prints the pages of docs/ that are made from the code.
func docsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "Print a page of the documentation", Hidden: true}
	cmd.AddCommand(&cobra.Command{
		Use:   "configuration",
		Short: "Print docs/configuration.md",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Markdown())
			return err
		},
	})
	return cmd
}
