package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func weft(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		args   string
		code   int
		stdout string // a part of it; "" means empty
		stderr string // all of it
	}{
		{"", 0, "Available Commands", ""},
		{"--help", 0, "Available Commands", ""},
		{"config", 0, "check", ""},
		{"version", 0, "weft ", ""},
		{"completion bash", 0, "bash completion", ""},
		{"docs configuration", 0, "# Configuration", ""},
		{"config sample", 0, "[[inputs.ebpf]]", ""},
		{"run --help", 0, "--datakit-apiserver", ""},

		{"rum", 2, "", "weft: unknown command rum for weft; did you mean run?\n"},
		{"config chek", 2, "", "weft: unknown command chek for weft config; did you mean check?\n"},
		{"completion korn9", 2, "", "weft: unknown command korn9 for weft completion\n"},
		{"config check", 2, "", "weft: accepts 1 arg(s), received 0\n"},
		{"run extra", 2, "", "weft: unknown command \"extra\" for \"weft run\"\n"},
		{"run --intervall 5s", 2, "", "weft: unknown flag: --intervall (did you mean \"--interval\"?)\n"},
		{"run --interval", 2, "", "weft: flag needs an argument: --interval\n"},

		{"replay a.pcap", 2, "", "weft: replay: reading packets from a file is not built yet\n"},
		{"link --listen :1", 2, "", "weft: link: the span linker is not built yet\n"},
		{"top", 2, "", "weft: top: the live view in the terminal is not built yet\n"},
		{"query x y", 2, "", "weft: query: the embedded store is not built yet\n"},
		{"filter explain tcp", 2, "", "weft: filter explain: the packet filter language is not built yet\n"},

		{"config check /nonexistent", 1, "",
			"weft: read the configuration: stat /nonexistent: no such file or directory\n"},
		{"run --config /nonexistent", 1, "",
			"weft: read the configuration: stat /nonexistent: no such file or directory\n"},
		{"run --udp=ja --ephemeral_port x", 1, "",
			"--udp: \"ja\" is not a boolean; allowed: true, t, 1, yes, on, false, f, 0, no, off\n" +
				"--ephemeral-port: \"x\" is not an integer; allowed: an integer from -1 to 65535\n"},
	}
	for _, tt := range tests {
		code, stdout, stderr := weft(strings.Fields(tt.args)...)
		if code != tt.code || stderr != tt.stderr || !strings.Contains(stdout, tt.stdout) ||
			(tt.stdout == "") != (stdout == "") {
			t.Errorf("weft %s: status %d, stdout %.200q, stderr %q", tt.args, code, stdout, stderr)
		}
	}
}

// A file with mistakes: check prints them all, run prints the same and starts nothing.
func TestMistakesInTheFile(t *testing.T) {
	const file = "../../config/testdata/ten.bad.conf"
	code, stdout, stderr := weft("config", "check", file)
	if code != 1 || strings.Count(stdout, "\n") < 10 || !strings.HasPrefix(stdout, file+":2: ") || stderr != "" {
		t.Fatalf("check: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	pid := filepath.Join(t.TempDir(), "pid")
	code, none, same := weft("run", "--config", file, "--pidfile", pid)
	if code != 1 || none != "" || same != stdout {
		t.Errorf("run: status %d, stdout %q, stderr %q", code, none, same)
	}
	if _, err := os.Stat(pid); err == nil {
		t.Error("run started")
	}
}

func TestSetEnviron(t *testing.T) {
	t.Setenv("WEFT_TEST_A", "real")
	t.Setenv("WEFT_TEST_B", "")
	os.Unsetenv("WEFT_TEST_B")
	if err := setEnviron([]string{"WEFT_TEST_A=block", "WEFT_TEST_B=x=y"}); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("WEFT_TEST_A") != "real" || os.Getenv("WEFT_TEST_B") != "x=y" {
		t.Errorf("%q %q", os.Getenv("WEFT_TEST_A"), os.Getenv("WEFT_TEST_B"))
	}
}

func TestCheckOfTheSample(t *testing.T) {
	_, sample, _ := weft("config", "sample")
	file := filepath.Join(t.TempDir(), "ebpf.conf")
	if err := os.WriteFile(file, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := weft("config", "check", file); code != 0 || stdout != file+": ok\n" || stderr != "" {
		t.Errorf("status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestCheckPrintsWarnings(t *testing.T) {
	code, stdout, _ := weft("config", "check", "../../config/testdata/warnings.good.conf")
	if code != 0 || !strings.Contains(stdout, ": warning: ") || !strings.HasSuffix(stdout, ": ok\n") {
		t.Errorf("status %d, stdout %q", code, stdout)
	}
}
