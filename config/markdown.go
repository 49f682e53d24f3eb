package config

import (
	_ "embed" // the prose of docs/configuration.md
	"strings"
)

//go:embed configuration.md.in
var markdownIntro string

// Markdown returns docs/configuration.md: the prose and a table for each block.
func Markdown() string {
	var b strings.Builder
	b.WriteString(markdownIntro)
	b.WriteString("\n## `[[inputs.ebpf]]`\n\n")
	all := keys()
	tableHead(&b)
	linker := false
	for i := range all {
		k := &all[i]
		if k.Block == blockLinker && !linker {
			linker = true
			b.WriteString("\n## `[[inputs.ebpftrace]]`\n\nThe span linker. Its keys have no flags.\n\n")
			tableHead(&b)
		}
		k.tableRow(&b)
	}
	return b.String()
}

func tableHead(b *strings.Builder) {
	b.WriteString("| key | allowed | default | flag | variable | meaning |\n|---|---|---|---|---|---|\n")
}

func (k *Key) tableRow(b *strings.Builder) {
	var flags []string
	for _, f := range k.flagNames() {
		flags = append(flags, "--"+f)
	}
	meaning := k.Help
	if k.Note != "" {
		meaning += " Gives a warning."
	}
	cells := []string{
		code(k.Name), escape(k.bind.allowed), escape(k.defaultText()), codes(flags), codes(k.envNames()), escape(meaning),
	}
	if k.FileOnly {
		cells[2] = "–"
	}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func code(s string) string { return "`" + s + "`" }

func codes(names []string) string {
	if len(names) == 0 {
		return "–"
	}
	return code(strings.Join(names, "`, `"))
}

// escape keeps text inside its cell of the table.
func escape(s string) string {
	if strings.Contains(s, "\n- ") {
		s = strings.ReplaceAll(s, "\n", "<br>")
	}
	return strings.NewReplacer("\n", " ", "|", `\|`, "<your", `\<your`, "*", `\*`).Replace(s)
}
