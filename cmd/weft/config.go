package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weft/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print a sample configuration, or check one",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "sample",
		Short: "Print the full commented ebpf.conf",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), config.Sample())
			return err
		},
	}, &cobra.Command{
		Use:   "check FILE",
		Short: "Print everything wrong with an ebpf.conf",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return check(cmd.OutOrStdout(), args[0]) },
	})
	return cmd
}

// check prints the problems of a file on standard output: they are what the
// command is for.
func check(w io.Writer, file string) error {
	cfg, err := config.LoadFile(file)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(w, problems)
		return errReported
	}
	if err != nil {
		return err
	}
	for _, line := range cfg.Warnings {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w, file+": ok")
	return nil
}
