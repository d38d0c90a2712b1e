#!/usr/bin/env bash
# Runs every fuzz test for the time given, one after the other.
set -eu
for pkg in $(go list ./...); do
	for f in $(go test -list '^Fuzz' "$pkg" 2>/dev/null | grep '^Fuzz' || true); do
		echo "$pkg $f"
		go test -run '^$' -fuzz "^$f\$" -fuzztime "$1" -fuzzminimizetime 10x "$pkg"
	done
done
