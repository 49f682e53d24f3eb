package main

import (
	"os"
	"testing"
)

func TestRecordsDocIsFresh(t *testing.T) {
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/records.md is stale: go run ./record/recordsdoc > docs/records.md")
	}
}
