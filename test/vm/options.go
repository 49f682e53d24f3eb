package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// options are the command line's.
type options struct {
	kernels  []string
	packages []string
	modules  []string
	files    []packed
	run      string
	extra    []string
	flavour  string
	cache    string
	refresh  time.Duration
	timeout  time.Duration
	jobs     int
	machine  machine
}

// parseFlags reads the command line and complains on w.
func parseFlags(args []string, w io.Writer) (options, error) {
	var o options
	var kernels, packages, modules, extra string
	fs := flag.NewFlagSet("vm", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.StringVar(&kernels, "kernels", "5.10,6.1,6.12,newest",
		"Debian kernel `series`, newest, host, or folders of unpacked kernels")
	fs.StringVar(&packages, "pkgs", "./source/...,./probe", "`packages` whose tests to run")
	fs.StringVar(&modules, "mods", "veth,dummy,nf_conntrack,nf_conntrack_netlink,nft_chain_nat,nft_nat,nft_numgen,"+
		"nft_redir,nft_masq,inet_diag,tcp_diag,sch_netem",
		"kernel `modules` to load, with what they need")
	fs.StringVar(&o.run, "run", "", "run only tests that match the `regexp`")
	fs.StringVar(&extra, "args", "", "more `flags` for the test binaries, e.g. \"-test.short -test.count=3\"")
	fs.StringVar(&o.flavour, "flavour", "cloud-amd64", "Debian kernel flavour: cloud-amd64 or amd64")
	fs.StringVar(&o.cache, "cache", defaultCache(), "`folder` of kernels and logs")
	fs.DurationVar(&o.refresh, "refresh", 7*24*time.Hour, "look for a newer build of a cached kernel after this time")
	fs.DurationVar(&o.timeout, "timeout", 4*time.Minute,
		"for the tests of a package; a kernel has "+bootTime.String()+" more for all of them")
	fs.IntVar(&o.machine.mem, "m", 512, "`MiB` of memory of a guest")
	fs.IntVar(&o.machine.smp, "smp", 2, "CPUs of a guest")
	fs.StringVar(&o.machine.accel, "accel", "tcg,thread=multi", "QEMU `accelerator`")
	fs.IntVar(&o.jobs, "j", 1, "kernels at a time")
	fs.Func("file", "pack a host file into the guests as `SRC:DST` (repeatable)", func(s string) error {
		f, err := parsePacked(s)
		o.files = append(o.files, f)
		return err
	})
	fs.Func("bin", "pack a host `program` with its libraries into the guests (repeatable)", func(s string) error {
		files, err := packProgram(s)
		o.files = append(o.files, files...)
		return err
	})
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	o.kernels, o.packages, o.modules = list(kernels), list(packages), list(modules)
	o.machine.timeout = o.timeout + bootTime
	o.extra = strings.Fields(extra)
	if fs.NArg() > 0 || len(o.kernels) == 0 || len(o.packages) == 0 || o.jobs < 1 {
		err := fmt.Errorf("unexpected %q, or no kernel, no package or no job", fs.Args())
		fmt.Fprintln(w, "vm:", err)
		return options{}, err
	}
	return o, nil
}

// bootTime is what a guest may need beside its tests. It lets a hanging test's own timeout come first, which says
// where it hangs.
const bootTime = time.Minute

// testArgs are the flags of each test binary: those of `go test`, and output marked for test2json.
func (o options) testArgs() []string {
	args := []string{"-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + o.timeout.String()}
	if o.run != "" {
		args = append(args, "-test.run="+o.run)
	}
	return append(args, o.extra...)
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// defaultCache is outside the repository: kernels are large and not ours.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = ".cache"
	}
	return filepath.Join(dir, "weft-vm")
}
