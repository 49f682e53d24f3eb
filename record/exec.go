package record

// Exec is one row of the measurement exec: a program began (event start), ended
// (exit), or was replaced by another one in the same process (replaced). The
// rows of one program have the same exec_id, and all say what ran.
type Exec struct {
	// Time is when the event happened, in Unix nanoseconds.
	Time int64 `tag:"-"`

	Source      string `tag:"source" help:"Fixed value: exec."`
	Event       string `tag:"event" new:"weft" help:"start when the program began, exit when it ended, replaced when its process went on with another program."`
	SessionID   string `tag:"session_id" omit:"empty" new:"weft" help:"Session of the process; flows of the session carry it too. Left out for processes without one."`
	ContainerID string `tag:"container_id" omit:"empty" new:"weft" help:"Id of the process's container, or its name where its cgroup has only that."`

	Cmd           string `field:"cmd" new:"weft" help:"The arguments as a shell would take them, secrets replaced by ***."`
	Message       string `field:"message" new:"weft" help:"The same in a sentence."`
	Exe           string `field:"exe" new:"weft" help:"Path of the program as the process sees it; for a script that of the interpreter."`
	Cwd           string `field:"cwd" new:"weft" help:"Working directory at the start, as the process sees it."`
	Pid           string `field:"pid" new:"weft" help:"Process identification number."`
	Ppid          string `field:"ppid" new:"weft" help:"The parent's process identification number at the event."`
	User          string `field:"user" new:"weft" help:"Name of the user in the process's own namespace, else the uid there."`
	UID           int64  `field:"uid" unit:"-" new:"weft" help:"Real uid, as the kernel has it."`
	TTY           string `field:"tty" omit:"empty" new:"weft" help:"Controlling terminal, e.g. pts/0."`
	ExecID        string `field:"exec_id" new:"weft" help:"Names this run of this program; the same in all its rows."`
	ArgsTruncated bool   `field:"args_truncated" unit:"bool" omit:"empty" new:"weft" help:"The arguments were longer than exec_max_args, or could not be read."`

	*ExecEnd
}

// ExecEnd is the group of an exec row that tells of an end.
type ExecEnd struct {
	*ExecStatus
	Duration int64 `field:"duration" unit:"ns" new:"weft" help:"How long the program ran."`
}

// ExecStatus is how a program ended by itself; of one that was replaced there
// is none.
type ExecStatus struct {
	ExitCode int64  `field:"exit_code" unit:"-" new:"weft" help:"Exit status; 128 and the number of the signal when one killed it, as shells say."`
	Signal   string `field:"signal" omit:"empty" new:"weft" help:"Signal that killed it, e.g. SIGKILL."`
}

// Measurement implements Record.
func (*Exec) Measurement() string { return "exec" }

// Timestamp implements Record.
func (e *Exec) Timestamp() int64 { return e.Time }

// Category implements Record.
func (*Exec) Category() Category { return Category{Kind: "logging", Input: "ebpf-exec"} }
