package main

import (
	"context"
	"fmt"
	"strings"

	"sallyport/audit"
	"sallyport/config"
)

// reload takes a new configuration whole, or keeps the old. It returns what to
// watch from now on.
func (s *sidecar) reload(ctx context.Context, file string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.plan.Load()
	p, err := s.replan(ctx, file, old)
	s.failed = err
	if err != nil {
		s.log.Error().Err(err).Msg("the configuration is not taken; the one before it stays in force")
		_ = s.records.Append(&audit.Event{Name: audit.ConfigRefused, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"error": s.keys.RedactString(err.Error())}}})
		return old.watched
	}
	s.keys.use(p.store)
	s.plan.Store(p)
	for _, t := range s.tenants {
		t.gate.Update(t.gate.Sandbox(), p.layers(t.gate.Sandbox()))
	}
	s.log.Info().Msg("the configuration was read again")
	return p.watched
}

// replan makes a plan of the file as it is now, that can replace the old one, and
// records it.
func (s *sidecar) replan(ctx context.Context, file string, old *plan) (*plan, error) {
	f, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(ctx, file, f)
	if err != nil {
		return nil, err
	}
	if fixed := p.fixed(old); len(fixed) > 0 {
		return nil, fmt.Errorf("%s: a change of %s needs a restart", file, strings.Join(fixed, ", "))
	}
	for _, t := range s.tenants {
		sb := t.gate.Sandbox()
		if _, err := p.describe(sb.Name, sb.Labels, sb.Props, sb.Policy, string(sb.Mode), nil); err != nil {
			return nil, fmt.Errorf("sandbox %s: %w", sb.Name, err)
		}
	}
	d := map[string]string{}
	for n, pol := range p.policies {
		d["policy."+n] = pol.Digest()
	}
	if _, err := s.records.Record(ctx, &audit.Event{Name: audit.ConfigLoaded, Lifecycle: &audit.Lifecycle{Detail: d}}); err != nil {
		return nil, err
	}
	return p, nil
}
