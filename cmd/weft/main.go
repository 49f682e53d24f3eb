// Command weft is the network collector: see weft --help.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"weft/agent"
	"weft/config"
)

// version is set with -ldflags "-X main.version=v1.2.3".
var version = ""

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2 // wrong command line, or a feature that is not built yet
	exitLimit = 3 // a limit was exceeded, with limit_action = exit
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.Execute()
	report(stderr, err)
	return exitCode(err)
}

// report prints an error once, one line for each thing wrong. Problems of the
// configuration keep their file:line form, which editors jump to.
func report(w io.Writer, err error) {
	if err == nil || errors.Is(err, errReported) {
		return
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(w, problems)
		return
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w, "weft: "+strings.TrimSpace(line))
	}
}

// errReported fails a command that has said everything on its own.
var errReported = errors.New("already reported")

// usageError is a wrong command line or a feature that is not built yet.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[agent.LimitError](err); ok {
		return exitLimit
	}
	return exitError
}
