// Package guest is what the two halves of the VM lab say to each other: test/vm on the host packs a Job into the
// initramfs, test/vm/init in the guest executes it and answers on the second serial port.
package guest

// JobPath is where the initramfs keeps the job, as JSON.
const JobPath = "/vm-job.json"

// Mark starts each line by which init talks to the host; what lies between is the tests' own output.
const Mark = "=VM= "

// Words that follow Mark. A kernel that dies stops talking: no Done, and no End for the package it died in.
const (
	Up    = "up"    // up RELEASE MILLIS: init runs, so many milliseconds after the kernel's start
	Note  = "note"  // note TEXT: something odd that stops nothing
	Begin = "begin" // begin PACKAGE
	End   = "end"   // end PACKAGE EXITCODE MILLIS
	Done  = "done"  // done: everything was run
)

// Job is the guest's whole task.
type Job struct {
	// Modules are paths of decompressed modules, dependencies first.
	Modules []string
	Tests   []Test
}

// Test is one Go test binary.
type Test struct {
	// Package is the name in begin and end, e.g. "weft/source/conn".
	Package string
	Path    string
	// Dir is the working directory. As under `go test` it holds the package's testdata.
	Dir  string
	Args []string
}
