// Package style holds the rules of CONTRIBUTING.md that no linter holds: how
// long a file, a package and a C function may be, and that no package has an
// init function or a variable that changes.
package style
