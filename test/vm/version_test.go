package main

import (
	"slices"
	"testing"
)

func TestChoosePackages(t *testing.T) {
	bookworm := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-50-amd64",
		"linux-image-6.1.0-50-cloud-amd64-dbg", "linux-image-6.1.0-51-cloud-amd64-unsigned",
		"linux-image-6.1.0-50-rt-amd64", "linux-image-cloud-amd64", "linux-image-6.1-cloud-amd64",
		"linux-image-6.12.9+bpo-cloud-amd64",
	}
	backports := []string{
		"linux-image-6.19.6+deb13-cloud-amd64", "linux-image-7.3.4+deb13-cloud-amd64",
		"linux-image-7.3.4+deb13.1-cloud-amd64", "linux-image-7.10-rc2+deb13-cloud-amd64",
		"linux-binary-7.3.4+deb13.1-cloud-amd64", "linux-modules-7.3.4+deb13.1-cloud-amd64",
		"linux-binary-7.3.4+deb13-cloud-amd64", "linux-modules-7.3.4+deb13-cloud-amd64",
	}
	for _, c := range []struct {
		name, series, flavour string
		names                 []string
		version               string
		packages              []string
	}{
		{"numbers, not letters", "6.1", "cloud-amd64", bookworm, "6.1.0-50-cloud-amd64",
			[]string{"linux-image-6.1.0-50-cloud-amd64"}},
		{"other flavour", "6.1", "amd64", bookworm, "6.1.0-50-amd64", []string{"linux-image-6.1.0-50-amd64"}},
		{"6.1 is not 6.12", "6.12", "cloud-amd64", bookworm, "6.12.9+bpo-cloud-amd64",
			[]string{"linux-image-6.12.9+bpo-cloud-amd64"}},
		{"newest, in two packages", newest, "cloud-amd64", backports, "7.3.4+deb13.1-cloud-amd64",
			[]string{"linux-binary-7.3.4+deb13.1-cloud-amd64", "linux-modules-7.3.4+deb13.1-cloud-amd64"}},
		{"old series of a suite", "6.19", "cloud-amd64", backports, "6.19.6+deb13-cloud-amd64",
			[]string{"linux-image-6.19.6+deb13-cloud-amd64"}},
		{"not there", "5.4", "cloud-amd64", backports, "", nil},
	} {
		version, packages := choosePackages(c.names, c.series, c.flavour)
		if version != c.version || !slices.Equal(packages, c.packages) {
			t.Errorf("%s: got %q %q, want %q %q", c.name, version, packages, c.version, c.packages)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		major   int
		version string
		refused bool
	}{
		{7, "6.1.0-50-cloud-amd64", false}, {7, "5.10.0-46-cloud-amd64", false}, {7, "6.12.9+deb13-cloud-amd64", true},
		{7, "7.3.4+deb13-cloud-amd64", true}, {10, "6.12.9+deb13-cloud-amd64", false},
	} {
		if err := (qemu{major: c.major}).refuses(c.version); (err != nil) != c.refused {
			t.Errorf("QEMU %d, %s: %v", c.major, c.version, err)
		}
	}
}

func TestShort(t *testing.T) {
	for want, k := range map[string]kernel{
		"6.1":        {want: "6.1", version: "6.1.0-50-cloud-amd64"},
		"7.3 newest": {want: newest, version: "7.3.4+deb13-cloud-amd64"},
		"/my/kernel": {want: "/my/kernel", version: "next"},
	} {
		if got := k.short(); got != want {
			t.Errorf("%+v: %q", k, got)
		}
	}
}
