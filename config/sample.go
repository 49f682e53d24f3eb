package config

// Sample returns the full commented ebpf.conf.
func Sample() string { return "" }
