package config

import "strings"

const sampleIntro = `## ebpf.conf, for weft run --config FILE or for DataKit's conf.d.
##
## Each key is also an environment variable, ENV_INPUT_EBPF_<KEY>, and a flag of weft run.
## A flag wins over the environment, the environment over this file, key by key.
## Keys that are commented out show their default or, where there is none, an example.
## Check it with: weft config check FILE

`

const sampleTags = `
  ## Tags put on every record, any number of them.
  [inputs.ebpf.tags]
    # some_tag = "some_value"
    # more_tag = "some_other_value"

## The span linker. Uncomment the block to run it.
# [[inputs.ebpftrace]]
`

// Sample returns the full commented ebpf.conf.
func Sample() string {
	var b strings.Builder
	b.WriteString(sampleIntro + "[[inputs.ebpf]]\n")
	all := keys()
	for i := range all {
		k := &all[i]
		switch {
		case k.bind.typ == "table":
			continue
		case k.Name == linkerKeys()[0].Name && k.Block == blockLinker:
			b.WriteString(sampleTags)
		}
		k.sample(&b)
	}
	return b.String()
}

// sample writes the key with its comments.
func (k *Key) sample(b *strings.Builder) {
	if k.Or {
		b.WriteString("  ##\n  ## or\n")
	} else {
		b.WriteString("\n")
	}
	for line := range strings.Lines(k.sampleHelp()) {
		b.WriteString("  ## " + strings.TrimRight(line, "\n") + "\n")
	}
	hash := "# "
	if k.Shown && k.Block == blockEBPF {
		hash = ""
	}
	b.WriteString("  " + hash + k.Name + " = " + k.sampleValue() + "\n")
}

// sampleHelp is the help, what is allowed where words are, and the default
// where the sample shows something else.
func (k *Key) sampleHelp() string {
	help := k.Help
	if k.bind.typ == "string" && strings.Contains(k.bind.allowed, ", ") && !strings.Contains(k.bind.allowed, "such as") {
		help += "\nOne of: " + k.bind.allowed + "."
	}
	if !k.FileOnly && k.sampleValue() != k.defaultTOML() {
		help += "\nDefault: " + k.defaultText() + "."
	}
	return help
}

// sampleValue is the example, or else the default, as TOML.
func (k *Key) sampleValue() string {
	if k.Example != "" {
		return k.Example
	}
	return k.defaultTOML()
}

func (k *Key) defaultTOML() string {
	switch k.bind.typ {
	case "boolean", "integer", "number":
		return k.Default
	case "list":
		if k.Default == "" {
			return "[]"
		}
		return `["` + strings.ReplaceAll(k.Default, ",", `", "`) + `"]`
	default:
		return `"` + k.Default + `"`
	}
}

// defaultText is the default for people.
func (k *Key) defaultText() string {
	switch {
	case k.Auto != "":
		return k.Auto
	case k.Default == "" && k.bind.typ == "list":
		return "empty"
	case k.Default == "":
		return "none"
	default:
		return k.Default
	}
}
