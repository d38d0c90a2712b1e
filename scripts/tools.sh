#!/usr/bin/env bash
# Sees to it that the programs which the tests run are there: as root from
# Debian's packages, otherwise by saying what to install. With the argument peers,
# what make bench-peers measures beside.
set -eu
missing=""
need() { # program package
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
module() { # module of Debian's Python, package
	/usr/bin/python3 -c "import $1" 2>/dev/null || missing="$missing $2"
}
file() { # file package
	[ -e "$1" ] || missing="$missing $2"
}
if [ "${1-}" = peers ]; then
	need squid squid-openssl
	need mitmdump mitmproxy
fi
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
need psql postgresql-client
file /usr/lib/postgresql/15/bin/postgres postgresql
need ssh openssh-client
need sshd openssh-server
need redis-server redis-server
need redis-cli redis-tools
need nginx nginx
need apache2 apache2
need haproxy haproxy
need unbound unbound
need nghttp nghttp2-client
need rsyslogd rsyslog
file /usr/lib/x86_64-linux-gnu/rsyslog/imrelp.so rsyslog-relp
file /usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_ossl.so rsyslog-openssl
module h11 python3-h11
module requests python3-requests
module websockets python3-websockets
module aiosmtpd python3-aiosmtpd
module grpc python3-grpcio
module boto3 python3-boto3
file /etc/ssl/certs/ca-certificates.crt ca-certificates
[ -z "$missing" ] && exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
	echo "The tests need programs that are not here. As root: $line" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/sbin/policy-rc.d ]; then # no package starts a server
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
fi
# shellcheck disable=SC2086
$line >/dev/null 2>&1 || { apt-get update -qq && $line; }
