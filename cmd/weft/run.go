package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weft/agent"
	"weft/config"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Collect until a signal ends it",
		Args:  cobra.NoArgs,
	}
	flags := runFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(flags)
		if err != nil {
			return err
		}
		warn(cmd, cfg)
		if err := setEnviron(cfg.Environ); err != nil {
			return err
		}
		return agent.Run(cmd.Context(), cfg, func() (*config.Config, error) { return load(flags) })
	}
	return cmd
}

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine lets the collector see, and what is missing",
		Args:  cobra.NoArgs,
	}
	flags := runFlags(cmd.Flags())
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(flags)
		if err != nil {
			return err
		}
		warn(cmd, cfg)
		return agent.Doctor(cmd.OutOrStdout(), cfg, *asJSON)
	}
	return cmd
}

// runFlags registers the flags of weft run.
func runFlags(fs *pflag.FlagSet) *config.Flags {
	flags := &config.Flags{}
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(config.NormalFlag(name))
	})
	fs.StringVar(&flags.ConfigFile, "config", "", "ebpf.conf to read, or the reference's own form of it")
	for _, f := range flags.All() {
		flag := fs.VarPF(f, f.Name, "", f.Help)
		flag.Hidden = f.Hidden
		if f.Bool {
			flag.NoOptDefVal = "true"
		}
	}
	return flags
}

// load reads flags, environment and file anew; SIGHUP calls it too.
func load(flags *config.Flags) (*config.Config, error) {
	cfg, err := config.Load(flags, os.Environ())
	if err != nil {
		return nil, err
	}
	cfg.Version = versionText()
	return cfg, nil
}

// setEnviron makes the process what DataKit would have started: with the envs
// of the block, such as a proxy, where the real environment has no own value.
func setEnviron(environ []string) error {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s of envs: %w", name, err)
		}
	}
	return nil
}

func warn(cmd *cobra.Command, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		cmd.PrintErrln(w)
	}
}
