package bash

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// linkedShell reads lines as a bash does that is linked to a readline library.
const linkedShell = `#include <stdio.h>
#include <stdlib.h>
#include <readline/readline.h>
int main(void)
{
	char *line;

	while ((line = readline(getenv("PS1"))))
		free(line);
	return 0;
}
`

// linked is a program of the name bash with a shared readline; nil without a
// compiler, as in a guest of the VM lab.
func linked(t *testing.T) *shell {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		return nil
	}
	path := compile(t, "bash")
	if path == "" {
		return nil
	}
	return open(t, nil, path)
}

func compile(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "shell.c"), filepath.Join(dir, name)
	if err := os.WriteFile(source, []byte(linkedShell), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("gcc", "-O1", "-s", "-o", out, source, "-lreadline").CombinedOutput(); err != nil {
		t.Logf("no shared readline: %s", text)
		return ""
	}
	return out
}

// Other programs that read lines with the same library type no commands.
func TestOthersAreLeftAlone(t *testing.T) {
	l := begin(t)
	path := compile(t, "psql")
	if path == "" {
		t.Skip("no readline to link to")
	}
	s := open(t, nil, path)
	s.run("select 1;", "my password")
	if got := l.end()[s.PID()]; len(got) != 0 {
		t.Errorf("lines of %s: %q", path, got[0].Cmd)
	}
}

func credential(uid uint32) *syscall.Credential { return &syscall.Credential{Uid: uid, Gid: uid} }
