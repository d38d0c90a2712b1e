// Package policies is the Rego that ships: the modules that compose a decision, and the policies to start from.
package policies

import "embed"

// Composing holds the modules of the reserved package data.sallyport, and the
// files that give each phase its input schema.
//
//go:embed sallyport/*.rego
var Composing embed.FS

// Library holds modules of the same package that any policy can import: helpers,
// lists of destinations, and rules about them.
//
//go:embed library/lib/*.rego library/packs/*.rego library/guards/*.rego library/presets/*.rego
var Library embed.FS

// Default holds the policy of a run without one of its own: it reads the grants
// of the command line as data.run.
//
//go:embed default/*.rego
var Default embed.FS

// Examples hold policies to start from, with their tests.
//
//go:embed examples
var Examples embed.FS

// Scaffold holds a policy to begin with: its rules, data and tests.
//
//go:embed scaffold
var Scaffold embed.FS
