// Command skips reads the output of `go test -json`, shows what a person wants
// of it, and holds the rule that a skip must not hide a loss: with CI=true a
// skipped test is a failure unless the allow file names it with a reason.
//
//	go test -json ./... | go run ./test/skips -allow test/skips/allow.txt
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	path := flag.String("allow", "", "file of skips that are all right in CI: package, test, reason a line")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *path, os.Getenv("CI") == "true"); err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
		os.Exit(1)
	}
}

// run reports in on out and returns an error when a test failed or, if strict,
// was skipped without leave.
func run(in io.Reader, out io.Writer, allowPath string, strict bool) error {
	allow, err := readAllow(allowPath)
	if err != nil {
		return err
	}
	r := report{out: out, output: map[string]*strings.Builder{}}
	if err := r.read(in); err != nil {
		return err
	}
	refused := 0
	for _, s := range r.skipped {
		mark := "skipped"
		if strict && !allow.has(s.pkg, s.test) {
			mark = "SKIPPED WITHOUT LEAVE"
			refused++
		}
		fmt.Fprintf(out, "%s: %s %s: %s\n", mark, s.pkg, s.test, s.reason)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed+refused, len(r.skipped)-refused)
	if r.failed+refused > 0 || r.packagesFailed > 0 {
		return fmt.Errorf("%d failed tests, %d failed packages, %d skips without leave",
			r.failed, r.packagesFailed, refused)
	}
	return nil
}
