// Package differ sends what servers read differently through the gate, to servers
// of six kinds, and holds what each of them read against what policy judged.
package differ
