package sidecar

import (
	"context"
	"fmt"

	"sallyport/policy"
)

// An absent stands for a policy of which there is no good bundle yet: it refuses
// everything, in every phase.
type absent string

var _ policy.Engine = absent("")

// Has is true: it has a say in everything.
func (a absent) Has(policy.Phase) bool { return true }

// Reads is false: it says the same of everything.
func (a absent) Reads(policy.Phase, ...string) bool { return false }

// Decide refuses.
func (a absent) Decide(_ context.Context, q *policy.Question) *policy.Decision {
	return &policy.Decision{Phase: q.Phase, Policy: string(a), Err: fmt.Errorf("there is no good bundle of policy %s yet", string(a))}
}
