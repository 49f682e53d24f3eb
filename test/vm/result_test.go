package main

import (
	"strings"
	"testing"
	"time"
)

func TestCollect(t *testing.T) {
	const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.25}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/sub"}
{"Action":"output","Package":"p","Test":"TestB/sub","Output":"    b_test.go:7: no kprobes\n"}
{"Action":"output","Package":"p","Test":"TestB/sub","Output":"        at all\n"}
{"Action":"skip","Package":"p","Test":"TestB/sub"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestC"}
`
	list, err := collect("p", strings.NewReader(events), -1)
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{pkg: "p", test: "TestA", outcome: passed, output: "=== RUN   TestA\n", elapsed: 250 * time.Millisecond},
		{pkg: "p", test: "TestB", outcome: passed},
		{pkg: "p", test: "TestB/sub", outcome: skipped, reason: "no kprobes at all",
			output: "    b_test.go:7: no kprobes\n        at all\n"},
		{pkg: "p", test: "TestC", outcome: failed, reason: "did not finish: the kernel or the VM ended"},
	}
	for i := range max(len(list), len(want)) {
		if i >= len(list) || i >= len(want) || list[i] != want[i] {
			t.Fatalf("result %d: got %+v", i, list)
		}
	}
}

func TestCollectRepeated(t *testing.T) {
	const events = `{"Action":"fail","Test":"TestA"}
{"Action":"pass","Test":"TestA"}
{"Action":"pass","Test":"TestB"}
{"Action":"fail","Test":"TestB"}
`
	list, err := collect("p", strings.NewReader(events), 1)
	if err != nil || len(list) != 2 || list[0].outcome != failed || list[1].outcome != failed {
		t.Errorf("got %+v, %v", list, err)
	}
}

// What no test accounts for is the package's failure: a panic in TestMain, a killed process.
func TestCollectPackage(t *testing.T) {
	const events = `{"Action":"output","Package":"p","Output":"panic: in TestMain\n"}`
	for exit, reason := range map[int]string{2: "exit code 2", -1: "the kernel or the VM ended"} {
		list, err := collect("p", strings.NewReader(events), exit)
		if err != nil || len(list) != 1 || list[0].test != "" || list[0].outcome != failed || list[0].reason != reason ||
			list[0].output != "panic: in TestMain\n" {
			t.Errorf("exit %d: %+v, %v", exit, list, err)
		}
	}
	if list, err := collect("p", strings.NewReader(""), 0); err != nil || len(list) != 0 {
		t.Errorf("nothing ran: %+v, %v", list, err)
	}
}

func TestSkipReason(t *testing.T) {
	for output, want := range map[string]string{
		"=== RUN   TestX\n    x_test.go:1: first\n    x_test.go:2: the reason\n--- SKIP: TestX (0.00s)\n": "the reason",
		"--- SKIP: TestX (0.00s)\n": "no reason given",
	} {
		if got := skipReason(output); got != want {
			t.Errorf("%q: got %q", output, got)
		}
	}
}

func TestTable(t *testing.T) {
	runs := []run{
		{kernel: kernel{want: "5.10", version: "5.10.0-46"}, results: []result{
			{pkg: "weft/p", test: "TestA", outcome: passed},
			{pkg: "weft/p", test: "TestA/quiet", outcome: passed},
			{pkg: "weft/p", test: "TestB", outcome: skipped, reason: "too old"},
		}},
		{kernel: kernel{want: newest, version: "7.3.4"}, results: []result{
			{pkg: "weft/p", test: "TestA", outcome: failed, output: "a_test.go:1: wrong"},
			{pkg: "weft/p", test: "TestB/sub", outcome: failed},
		}},
	}
	var b strings.Builder
	printTable(&b, runs)
	const table = `TEST         5.10  7.3 newest
p TestA      pass  fail
p TestB      skip  -
p TestB/sub  -     fail
`
	if b.String() != table {
		t.Errorf("got\n%s", b.String())
	}
	b.Reset()
	printDetails(&b, runs)
	for _, want := range []string{
		"skip  5.10: p TestB: too old\n", "FAIL  7.3 newest: p TestA", "    a_test.go:1: wrong\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if printSummary(&b, runs) {
		t.Error("a failed test passed the summary")
	}
	if !printSummary(&b, runs[:1]) {
		t.Error("a skip failed the summary")
	}
	if printSummary(&b, []run{{err: errNothingRan}}) {
		t.Error("a kernel without tests passed the summary")
	}
}
