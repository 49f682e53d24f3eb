// Command recordsdoc prints docs/records.md from the declarations in record/:
//
//	go run ./record/recordsdoc > docs/records.md
//
// A test of this package fails when the file is stale.
package main

import (
	"fmt"
	"os"
	"strings"

	"weft/record"
)

func main() {
	text, err := document()
	if err == nil {
		_, err = os.Stdout.WriteString(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "recordsdoc:", err)
		os.Exit(1)
	}
}

const intro = `# Records

<!-- Generated from record/*.go: go run ./record/recordsdoc > docs/records.md -->

What Weft sends, per measurement: every tag (a string) and every field with its type and unit. The names, places and
units are those of DataKit's eBPF collector; **new** marks what it does not have. A column marked *optional* is left
out of the records it does not apply to; every other tag is always there, if need be empty. The global tags ` +
	"`host`" + `, ` + "`service`" + `
and your own come last, where a record has no tag of that name itself. A record that sampling kept has one more field,
` + "`sampling_rate`" + ` (float), the share that was kept: docs/limits.md. Times are Unix nanoseconds.

All flows have the same tags. DataKit's dnsflow has no ` + "`pid`, `process_name`, `netns`, `dst_nat_ip` and `dst_nat_port`" + `.
`

func document() (string, error) {
	schema, err := record.Schema()
	if err != nil {
		return "", fmt.Errorf("read declarations: %w", err)
	}
	var b strings.Builder
	b.WriteString(intro)
	for _, m := range schema {
		fmt.Fprintf(&b, "\n## `%s`\n\n", m.Name)
		fmt.Fprintf(&b, "DataKit: `POST /v1/write/%s?input=%s`\n", m.Category.Kind,
			strings.ReplaceAll(m.Category.Input, "/", "%2F"))
		b.WriteString("\n| tag | meaning |\n|---|---|\n")
		for _, c := range m.Tags {
			fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, meaning(c))
		}
		b.WriteString("\n| field | type | unit | meaning |\n|---|---|---|---|\n")
		for _, c := range m.Fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Name, c.Type, unit(c.Unit), meaning(c))
		}
	}
	return b.String(), nil
}

func meaning(c record.ColumnSchema) string {
	s := strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(c.Help)
	if c.Optional {
		s += " *(optional)*"
	}
	if c.New {
		s += " **new**"
	}
	return s
}

// unit writes the units as the reference's documents do.
func unit(u string) string {
	switch u {
	case "us":
		return "μs"
	case "", "-", "bool":
		return "-"
	default:
		return u
	}
}
