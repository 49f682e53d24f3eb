#!/bin/sh
# deps.sh installs what test/vm needs: QEMU 10 or newer, xz and Debian's archive keys.
#
# Debian bookworm itself has QEMU 7.2, which mis-executes cmpxchg16b and panics kernel 6.12, so there QEMU comes
# from bookworm-backports. apt gets its own sources and lists for that: the machine's sources are left as they are.
set -eu

[ "$(id -u)" = 0 ] || { echo "deps.sh: run as root (sudo make vm-deps)" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "deps.sh: not a Debian machine: install QEMU >= 10 and xz" >&2; exit 1; }

qemu_major() { qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p'; }
major=$(qemu_major)
if [ "${major:-0}" -ge 10 ] && command -v xz >/dev/null; then
	echo "deps.sh: QEMU $major and xz are here already"
	exit 0
fi

. /etc/os-release
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt drops to its own user for downloads
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
for suite in "$VERSION_CODENAME" "$VERSION_CODENAME-updates" "$VERSION_CODENAME-backports"; do
	echo "deb [signed-by=$keyring] $mirror $suite main"
done >"$work/sources.list"
echo "deb [signed-by=$keyring] $security $VERSION_CODENAME-security main" >>"$work/sources.list"

# The machine's dpkg database is used as always; sources, lists and downloads are ours.
apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" \
		-o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"
}

apt update
apt install -y --no-install-recommends xz-utils debian-archive-keyring >/dev/null
if ! apt install -y --no-install-recommends -t "$VERSION_CODENAME-backports" qemu-system-x86 >/dev/null; then
	echo "deps.sh: WARNING: no QEMU from $VERSION_CODENAME-backports, taking the release's own" >&2
	apt install -y --no-install-recommends qemu-system-x86 >/dev/null
fi

major=$(qemu_major)
echo "deps.sh: installed $(qemu-system-x86_64 --version | head -1)"
[ "${major:-0}" -ge 10 ] || echo "deps.sh: WARNING: QEMU $major cannot run kernels from 6.12 on; test/vm will refuse those" >&2
