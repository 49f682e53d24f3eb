package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseDepends(t *testing.T) {
	for info, want := range map[string][]string{
		"license=GPL\x00depends=nf_defrag_ipv6,libcrc32c\x00retpoline=Y\x00": {"nf_defrag_ipv6", "libcrc32c"},
		"license=GPL\x00depends=\x00":                                        nil,
		"license=GPL\x00":                                                    nil,
	} {
		if got := parseDepends([]byte(info)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q", info, got)
		}
	}
}

func TestModuleTree(t *testing.T) {
	root := t.TempDir()
	net := filepath.Join(root, "kernel/net")
	if err := os.MkdirAll(net, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		filepath.Join(net, "sch-netem.ko.xz"):  "not read here",
		filepath.Join(net, "broken.ko"):        "not an ELF file",
		filepath.Join(root, "modules.builtin"): "kernel/drivers/net/veth.ko\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := openModuleTree(root)
	if err != nil {
		t.Fatal(err)
	}
	if tree.paths["sch_netem"] == "" {
		t.Errorf("sch_netem not found in %v", tree.paths)
	}
	list, missing, err := tree.resolve([]string{"veth", "nope"})
	if err != nil || len(list) != 0 || !slices.Equal(missing, []string{"nope"}) {
		t.Errorf("got %v, missing %q, %v", list, missing, err)
	}
	if _, _, err := tree.resolve([]string{"broken"}); err == nil {
		t.Error("a broken module was packed")
	}
}
