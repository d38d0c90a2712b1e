package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/audit"
	"sallyport/policy/bundle"
	"sallyport/policy/rego"
	"sallyport/sandbox"
)

// take judges a bundle and puts it in force: kept, then recorded, then at the gates
// of the sandboxes for which it decides, each of which asks again about what is
// open. One that is not taken changes nothing.
func (s *sidecar) take(ctx context.Context, f *feed, b *bundle.Bundle) error {
	pol, err := f.by.load(ctx, b.Bytes)
	if err != nil {
		return untaken(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.feeds.of(f.by.name) != f {
		return &bundle.Error{Code: bundle.Unfit, Err: errGone, Passing: true}
	}
	was := f.policy
	same := was != nil && was.Digest() == pol.Digest() && versionOf(was) == versionOf(pol)
	if f.here && !same && !f.by.rollback {
		if err := versionOf(was).Follows(versionOf(pol)); err != nil {
			return &bundle.Error{Code: bundle.OldOne, Err: err}
		}
	}
	p := s.plan.Load()
	if err := s.fits(p, pol); err != nil {
		return &bundle.Error{Code: bundle.Unfit, Err: err, Passing: true}
	}
	next := *f
	next.policy = pol
	if err := s.feeds.keep(&next, b); err != nil {
		return &bundle.Error{Code: bundle.Unkept, Err: err, Passing: true}
	}
	d := f.detail(pol, b.Sum())
	switch {
	case same: // only the archive is another
		d["unchanged"] = "true"
	case was != nil:
		d["was"] = was.Digest()
	}
	if _, err := s.records.Record(ctx, &audit.Event{Name: audit.PolicyLoaded, Lifecycle: &audit.Lifecycle{Detail: d}}); err != nil {
		return &bundle.Error{Code: bundle.Unkept, Err: err, Passing: true}
	}
	s.feeds.mu.Lock()
	if same {
		pol = was
	}
	f.policy, f.here, f.sum, f.etag, f.restored, f.failed, f.told = pol, true, b.Sum(), b.ETag, false, nil, ""
	s.feeds.mu.Unlock()
	if same {
		return nil
	}
	p = p.with(f.by.name, pol)
	s.plan.Store(p)
	for _, t := range s.tenants {
		if sb := t.gate.Sandbox(); slices.Contains(sb.Policy, f.by.name) {
			t.gate.Update(sb, p.layers(sb))
		}
	}
	s.log.Info().Str("policy", f.by.name).Str("revision", pol.Revision()).Str("digest", pol.Digest()).Msg("a new bundle is in force")
	return nil
}

// with is the plan with another version of a policy. What decides for sandboxes
// that do not have it is left as it is.
func (p *plan) with(name string, pol *rego.Policy) *plan {
	out := *p
	out.policies = maps.Clone(p.policies)
	out.policies[name] = pol
	out.decided = p.decided.without(append(p.besides(name), name)...)
	return &out
}

// fits says what a policy asks for that there is not. The caller holds the lock.
func (s *sidecar) fits(p *plan, pol *rego.Policy) error {
	var errs []error
	for _, n := range pol.Credentials() {
		if !slices.Contains(p.names, n) {
			errs = append(errs, fmt.Errorf("it asks for the credential %q, and there is none of this name in credentials", n))
		}
	}
	for _, t := range s.tenants {
		if sb := t.gate.Sandbox(); slices.Contains(sb.Policy, pol.Name()) {
			errs = append(errs, lacks(sb, pol)...)
		}
	}
	return errors.Join(errs...)
}

// lacks says which properties a sandbox would need for a policy.
func lacks(sb *sandbox.Sandbox, pol *rego.Policy) (errs []error) {
	for _, k := range pol.RequiresProps() {
		if _, ok := sb.Props[k]; !ok {
			errs = append(errs, fmt.Errorf("it needs the property %q, and sandbox %s does not have it", k, sb.Name))
		}
	}
	return errs
}

func versionOf(p *rego.Policy) bundle.Version {
	v := bundle.Version{Revision: p.Revision()}
	v.Sequence, v.Sequenced = p.Sequence()
	return v
}

// untaken says in the words of a source why a bundle is no policy.
func untaken(err error) *bundle.Error {
	out := &bundle.Error{Code: bundle.BadPolicy, Err: err}
	switch {
	case errors.Is(err, rego.ErrSignature):
		out.Code = bundle.BadSigned
	case errors.Is(err, rego.ErrBundle):
		out.Code = bundle.NotBundle
	}
	var le *rego.LoadError
	if errors.As(err, &le) {
		var said []string
		for _, x := range le.Problems {
			out.Problems = append(out.Problems, bundle.Problem{File: x.File, Row: x.Row, Col: x.Col, Code: x.Code, Message: x.Message})
			said = append(said, x.String())
		}
		out.Err = errors.New(strings.Join(said, "; "))
	}
	return out
}
