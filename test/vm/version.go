package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// newest asks for the highest kernel that Debian serves.
const newest = "newest"

// suitesFor says where to look for a kernel series, in order; of equal versions the first suite's is taken. The
// security suites come first since they hold the current build and their lists are small.
func suitesFor(series string) []string {
	switch series {
	case "5.10":
		return []string{"bullseye-security", "bullseye"}
	case "6.1":
		return []string{"bookworm-security", "bookworm"}
	case "6.12":
		return []string{"trixie-security", "trixie"}
	case newest:
		return []string{"trixie-backports", "sid"}
	}
	// Backports keep most series of the last years.
	return []string{"trixie-backports", "bookworm-backports", "sid"}
}

// choosePackages picks from a suite's package names the newest kernel of a series ("" or newest: of all) and returns
// its version and the packages to unpack. From 7.x on linux-image-* is empty, and the kernel lies in linux-binary-*
// and linux-modules-*. Release candidates are not chosen.
func choosePackages(names []string, series, flavour string) (version string, packages []string) {
	for _, name := range names {
		v, ok := imageVersion(name, flavour)
		if ok && inSeries(v, series) && (version == "" || compareVersions(v, version) > 0) {
			version = v
		}
	}
	if version == "" {
		return "", nil
	}
	for _, kind := range []string{"binary", "modules"} {
		if name := "linux-" + kind + "-" + version; slices.Contains(names, name) {
			packages = append(packages, name)
		}
	}
	if !slices.Contains(packages, "linux-binary-"+version) {
		packages = append(packages, "linux-image-"+version)
	}
	return version, packages
}

// imageVersion cuts "6.1.0-50-cloud-amd64" from a package's name. Unsigned and debug variants are none.
func imageVersion(name, flavour string) (string, bool) {
	v, ok := strings.CutPrefix(name, "linux-image-")
	if !ok || strings.Contains(v, "-rc") {
		return "", false
	}
	base, ok := strings.CutSuffix(v, "-"+flavour)
	// "6.1-cloud-amd64" is a metapackage; and "6.1.0-50-cloud-amd64" is no image of flavour "amd64".
	plain := regexp.MustCompile(`^\d+\.\d+(\.\d+)?([-+][0-9a-z.+~]+)*$`)
	if !ok || !plain.MatchString(base) || !strings.ContainsAny(base, "-+") {
		return "", false
	}
	for _, other := range []string{"-cloud", "-rt"} {
		if strings.HasSuffix(base, other) {
			return "", false
		}
	}
	return v, true
}

// inSeries tells whether a version belongs to "6.1" (6.1.0-50 does, 6.12.4 does not).
func inSeries(version, series string) bool {
	if series == newest || series == "" {
		return true
	}
	rest, ok := strings.CutPrefix(version, series)
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// compareVersions orders by the numbers in the versions, left to right.
func compareVersions(a, b string) int {
	return slices.CompareFunc(numbers(a), numbers(b), func(x, y int) int { return cmp.Compare(x, y) })
}

// numbers lists the version's numbers up to the flavour's name.
func numbers(version string) []int {
	var list []int
	for _, s := range regexp.MustCompile(`\d+`).FindAllString(strings.TrimSuffix(version, "-amd64"), -1) {
		n, err := strconv.Atoi(s)
		if err != nil {
			break // too long for an int: no part of a version
		}
		list = append(list, n)
	}
	return list
}

// series returns [major minor] of a version, for comparing with what a machine can run.
func series(version string) []int {
	list := numbers(version)
	return list[:min(2, len(list))]
}
