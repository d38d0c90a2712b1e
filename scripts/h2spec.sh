#!/usr/bin/env bash
# Builds h2spec, the conformance suite of HTTP/2, outside of this module.
set -eu
out="$1"
[ -x "$out" ] && exit 0
version=v2.2.1+incompatible
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
go mod download "github.com/summerwind/h2spec@$version"
cp -r "$(go env GOMODCACHE)/github.com/summerwind/h2spec@$version" src
chmod -R u+w src
cd src
cat >go.mod <<MOD
module github.com/summerwind/h2spec

go 1.26

require (
	github.com/fatih/color v1.19.0
	github.com/spf13/cobra v1.10.2
	golang.org/x/net v0.62.0
)
MOD
go mod tidy 2>/dev/null
CGO_ENABLED=0 go build -o "$out" ./cmd/h2spec
