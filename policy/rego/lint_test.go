package rego

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever an author writes is looked through to its end, and no name of the
// compiler's is told.
func TestLintOfAnyPolicy(t *testing.T) {
	taken := 0
	for seed := range uint64(60) {
		w := &writer{Rand: rand.New(rand.NewPCG(seed, 5))}
		r := Inspect(t.Context(), write(t, w.policies()))
		if r.OK {
			taken++
		}
		for _, p := range append(r.Errors, r.Warnings...) {
			if p.Row == 0 || p.Line == "" || r.OK && (p.Advice == "" || strings.Contains(p.Message+p.Advice, "__local")) {
				t.Errorf("seed %d: %+v", seed, p)
			}
		}
	}
	if taken < 20 {
		t.Errorf("only %d policies were taken", taken)
	}
}
