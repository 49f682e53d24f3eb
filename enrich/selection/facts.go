package selection

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// commLen is where the kernel cuts a process name (TASK_COMM_LEN - 1).
	commLen = 15
	// maxEnviron and maxCmdline bound what is read of the process's own memory;
	// other files of /proc are the kernel's and short.
	maxEnviron = 128 << 10
	maxCmdline = 4096
	// maxScriptArg: a script follows the interpreter and at most a few options.
	maxScriptArg = 4
)

// facts are what the rules ask of a process, each read when it is first asked.
type facts struct {
	dir, comm string
	stat
	// gone: only the comm is known.
	gone bool

	nameFact   fact[[]string]
	exeFact    fact[string]
	envFact    fact[[]string]
	cgroupFact fact[[]string]
	uidFact    fact[uint64]
}

// fact is a value, and whether it is all there is to know.
type fact[T any] struct {
	read, known bool
	value       T
}

func (f *fact[T]) get(read func() (T, bool)) (T, bool) {
	if !f.read {
		f.value, f.known = read()
		f.read = true
	}
	return f.value, f.known
}

// stat is what we need of /proc/PID/stat: proc_pid_stat(5).
type stat struct {
	image image
	state byte
	name  string
}

// image tells one program in one process from the next: a pid used again has
// another start time, and exec puts stack and environment at random addresses.
type image struct{ start, stack, envFrom, envTo uint64 }

// The fields' indices in what follows the name.
const (
	startField   = 22 - 3
	stackField   = 28 - 3
	envFromField = 50 - 3
	envToField   = 51 - 3
)

var errStat = errors.New("unexpected form of /proc/PID/stat")

// look finds out whether the process is there. A zombie is not: it has neither
// executable nor environment.
func look(proc string, pid uint32, comm string) *facts {
	f := &facts{dir: filepath.Join(proc, strconv.FormatUint(uint64(pid), 10)), comm: comm}
	b, err := os.ReadFile(filepath.Join(f.dir, "stat"))
	if err == nil {
		f.stat, err = parseStat(b)
	}
	f.gone = err != nil || f.state == 'Z' || f.state == 'X'
	return f
}

func parseStat(b []byte) (stat, error) {
	// The name may itself hold parentheses and spaces.
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return stat{}, errStat
	}
	fields := bytes.Fields(b[to+1:])
	if len(fields) <= envToField {
		return stat{}, errStat
	}
	st := stat{name: string(b[from+1 : to]), state: fields[0][0]}
	for at, into := range map[int]*uint64{
		startField: &st.image.start, stackField: &st.image.stack,
		envFromField: &st.image.envFrom, envToField: &st.image.envTo,
	} {
		n, err := strconv.ParseUint(string(fields[at]), 10, 64)
		if err != nil {
			return stat{}, errStat
		}
		*into = n
	}
	return st, nil
}

// names are all that the process goes by. Of one that is gone it is the comm.
func (f *facts) names() ([]string, bool) {
	return f.nameFact.get(func() ([]string, bool) {
		names := []string{f.comm}
		if f.gone {
			return names, false
		}
		names = append(names, f.name)
		if exe, ok := f.exe(); ok {
			names = append(names, filepath.Base(exe))
		}
		return append(names, argNames(f.path("cmdline"), f.comm)...), true
	})
}

// argNames are the names in a command line: the program's as it was called,
// and a script's whose name the kernel has cut to comm.
func argNames(path, comm string) []string {
	b, _, err := readSome(path, maxCmdline)
	if err != nil || len(b) == 0 {
		return nil
	}
	args := strings.SplitN(string(b), "\x00", maxScriptArg+1)
	// A title may follow the name: "postgres: writer /path".
	name, _, _ := strings.Cut(args[0], ": ")
	names := []string{filepath.Base(name)}
	for _, arg := range args[1:min(len(args), maxScriptArg)] {
		if base := filepath.Base(arg); len(comm) == commLen && strings.HasPrefix(base, comm) {
			names = append(names, base)
		}
	}
	return names
}

// exe is the path of the executable.
func (f *facts) exe() (string, bool) {
	return f.exeFact.get(func() (string, bool) {
		if f.gone {
			return "", false
		}
		exe, err := os.Readlink(f.path("exe"))
		return strings.TrimSuffix(exe, " (deleted)"), err == nil
	})
}

// environ are the variables the program was started with, KEY=value.
func (f *facts) environ() ([]string, bool) {
	return f.envFact.get(func() ([]string, bool) {
		if f.gone {
			return nil, false
		}
		b, whole, err := readSome(f.path("environ"), maxEnviron)
		// A process that is ending reads as empty.
		if err != nil || len(b) == 0 && f.image.envTo > f.image.envFrom {
			return nil, false
		}
		if !whole {
			b = b[:bytes.LastIndexByte(b, 0)+1]
		}
		return strings.Split(string(b), "\x00"), whole
	})
}

// cgroups are the process's paths: one in cgroup v2, one a hierarchy in v1.
func (f *facts) cgroups() ([]string, bool) {
	return f.cgroupFact.get(func() ([]string, bool) {
		if f.gone {
			return nil, false
		}
		b, err := os.ReadFile(f.path("cgroup"))
		if err != nil {
			return nil, false
		}
		return cgroupPaths(string(b)), true
	})
}

// uid is the effective user.
func (f *facts) uid() (uint64, bool) {
	return f.uidFact.get(func() (uint64, bool) {
		if f.gone {
			return 0, false
		}
		b, err := os.ReadFile(f.path("status"))
		if err != nil {
			return 0, false
		}
		_, after, _ := strings.Cut(string(b), "\nUid:")
		line, _, _ := strings.Cut(after, "\n")
		fields := strings.Fields(line) // real, effective, saved, file system
		if len(fields) < 2 {
			return 0, false
		}
		uid, err := strconv.ParseUint(fields[1], 10, 32)
		return uid, err == nil
	})
}

func (f *facts) path(file string) string { return filepath.Join(f.dir, file) }

// readSome reads up to limit bytes and tells whether they are all.
func readSome(path string, limit int64) (b []byte, whole bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	b, err = io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(b)) > limit {
		return b[:limit], false, err
	}
	return b, true, err
}
