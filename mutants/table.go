package main

import "slices"

const (
	e2e        = "cmd/sallyport"
	sidecarPkg = "cmd/sidecar"
	h1Pkg      = "proxy/h1"
)

// mutants are the guards of what docs/threats.md lists, in its order.
var mutants = slices.Concat(
	names,
	reaching,
	authority,
	framing,
	sockets,
	forms,
	deciding,
	around,
	doors,
	naming,
	secrets,
	placing,
	sources,
	taken,
	faults,
	differing,
	protocols,
	floods,
	leaks,
	h2connect,
	shelves,
	surface,
	learning,
	mixes,
	bundled,
)
