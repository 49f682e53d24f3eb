#!/usr/bin/env bash
# Installs the Debian packages named as arguments that are missing. Without
# root it only says what to install: what needs them then skips with a reason.
set -euo pipefail

missing=()
for package in "$@"; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing packages; install them with: sudo apt-get install ${missing[*]}" >&2
	exit 0
fi

# A test machine wants nginx's binary, not a server on port 80.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f '$policy EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing: ${missing[*]}" >&2
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
