#!/usr/bin/env bash
# Sees to it that the programs which the tests run are there: as root from
# Debian's packages, otherwise by saying what to install.
set -eu
missing=""
need() { # program package
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need curl curl
need git git
need gcc gcc
need ip iproute2
need nft nftables
need ping iputils-ping
need dig bind9-dnsutils
need strace strace
need python3 python3
need node nodejs
need npm npm
need openssl openssl
need certtool gnutls-bin
need setpriv util-linux
need nc netcat-openbsd
need script bsdutils
need javac default-jdk-headless
need sqlite3 sqlite3
need certutil libnss3-tools
need chromium chromium
need dockerd docker.io
need docker-compose docker-compose
need podman podman
need catatonit catatonit
need systemd-analyze systemd
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
[ -z "$missing" ] && exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
	echo "The tests need programs that are not here. As root: $line" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$line >/dev/null 2>&1 || { apt-get update -qq && $line; }
