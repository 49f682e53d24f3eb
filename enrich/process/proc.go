package process

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stat is what we need of /proc/PID/stat: proc_pid_stat(5).
type stat struct {
	comm string
	// start time in clock ticks since boot.
	start uint64
}

// startField is the index of starttime (field 22) in what follows the comm.
const startField = 22 - 3

var errStat = errors.New("unexpected form of /proc/PID/stat")

// readStat takes comm and start time from one read, so that they belong to
// the same process.
func readStat(proc string, pid uint32) (stat, error) {
	b, err := os.ReadFile(pidPath(proc, pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	// The comm may itself hold parentheses and spaces.
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return stat{}, errStat
	}
	fields := bytes.Fields(b[to+1:])
	if len(fields) <= startField {
		return stat{}, errStat
	}
	start, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return stat{}, errStat
	}
	return stat{comm: string(b[from+1 : to]), start: start}, nil
}

// fullName looks for the name that the kernel cut to comm, in this order: the
// program as it was called, the executable, the script that an interpreter
// was given. It returns comm when nothing begins with it.
func fullName(proc string, pid uint32, comm string) string {
	args := readArgs(pidPath(proc, pid, "cmdline"))
	if len(args) > 0 {
		if name, ok := extends(args[0], comm); ok {
			return name
		}
	}
	if exe, err := os.Readlink(pidPath(proc, pid, "exe")); err == nil {
		if name, ok := extends(strings.TrimSuffix(exe, " (deleted)"), comm); ok {
			return name
		}
	}
	for _, arg := range args[min(1, len(args)):] {
		if name, ok := extends(arg, comm); ok {
			return name
		}
	}
	return comm
}

// maxScriptArg: a script follows the interpreter and at most a few options.
const maxScriptArg = 4

// readArgs returns the first arguments. A command line may be megabytes long;
// a page of it is enough.
func readArgs(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, 4096)
	n, err := f.Read(buf)
	if err != nil {
		return nil
	}
	args := strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00")
	return args[:min(len(args), maxScriptArg)]
}

// extends returns the base name of path if it begins with comm. A process that
// writes its state into its title ("name: worker") gives only the name.
func extends(path, comm string) (string, bool) {
	name := filepath.Base(path)
	rest, ok := strings.CutPrefix(name, comm)
	if !ok {
		// The title may have a slash of its own.
		title, _, _ := strings.Cut(path, " ")
		if rest, ok = strings.CutPrefix(filepath.Base(title), comm); !ok {
			return "", false
		}
	}
	if end := strings.IndexAny(rest, ": "); end >= 0 {
		rest = rest[:end]
	}
	return comm + rest, true
}

func pidPath(proc string, pid uint32, file string) string {
	return filepath.Join(proc, strconv.FormatUint(uint64(pid), 10), file)
}
