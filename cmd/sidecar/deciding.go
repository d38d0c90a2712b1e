package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/sandbox"
)

// What is kept of decisions at hand, and how long the log is searched for one.
const (
	recentDecisions = 4096
	recentBytes     = 8 << 20
	findWithin      = 5 * time.Second
)

// Decisions returns the newest that are kept at hand.
func (s *sidecar) Decisions(q admin.Decisions) (out []admin.Decision) {
	for _, st := range s.recent.List(audit.TailOptions{Sandbox: q.Sandbox, Host: q.Host, Decision: q.Outcome, Code: q.Code}, q.Limit) {
		out = append(out, decisionOf(st))
	}
	return out
}

// Decision looks for one at hand, then in the log.
func (s *sidecar) Decision(ctx context.Context, id string) (admin.Decision, error) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return admin.Decision{}, fmt.Errorf("%w: %q is not the id of a decision, which is a UUID as refusals show it", admin.ErrInvalid, id)
	}
	if st, ok := s.recent.Get(u.String()); ok {
		return decisionOf(st), nil
	}
	ctx, cancel := context.WithTimeout(ctx, findWithin)
	defer cancel()
	st, err := audit.Find(ctx, s.file.Audit.Dir.S, u.String())
	if no := (*audit.NotFoundError)(nil); errors.As(err, &no) {
		return admin.Decision{}, fmt.Errorf("%w: %w", admin.ErrNoDecision, err)
	}
	return decisionOf(st), err
}

func decisionOf(st audit.Story) admin.Decision {
	out := admin.Decision{Record: json.RawMessage(st.Decision.Line)}
	for _, e := range st.Then {
		out.Then = append(out.Then, json.RawMessage(e.Line))
	}
	return out
}

// Policies tells of each, and for which sandboxes it decides.
func (s *sidecar) Policies() (out []admin.Policy, err error) {
	p := s.plan.Load()
	by := map[string][]string{}
	err = s.reg.View(func(tx *sandbox.Tx) error {
		all, err := tx.List(nil)
		for i := range all {
			for _, n := range all[i].Policy {
				by[n] = append(by[n], all[i].Name)
			}
		}
		return err
	})
	for _, n := range p.policyNames() {
		slices.Sort(by[n])
		x := s.tellPolicy(p, n)
		x.Default, x.Sandboxes = slices.Contains(p.def, n), slices.Compact(by[n])
		if pol := p.policies[n]; pol != nil {
			x.Credentials, x.Props = pol.Credentials(), pol.RequiresProps()
		}
		out = append(out, x)
	}
	return out, err
}
