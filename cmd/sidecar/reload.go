package sidecar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/audit"
	"sallyport/cmd/words"
	"sallyport/config"
)

// reload takes a new configuration whole, or keeps the old. It returns what to
// watch from now on, and what that was before it was read.
func (s *sidecar) reload(ctx context.Context, file string) ([]string, [sha256.Size]byte) {
	s.mu.Lock()
	old := s.plan.Load()
	seen := look(old.watched)
	p, err := s.replan(ctx, file, old)
	if err != nil {
		s.failed = fmt.Errorf("the last reload was not taken, the configuration before it is in force: %w", err)
		s.mu.Unlock()
		s.log.Error().Str("error", s.keys.RedactString(words.Plain(err.Error()))).Msg("the configuration is not taken; the one before it stays in force")
		_ = s.records.Append(&audit.Event{Name: audit.ConfigRefused, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"error": s.keys.RedactString(err.Error())}}})
		return old.watched, seen
	}
	s.keys.use(p.store)
	s.plan.Store(p)
	s.feed(ctx, p)
	gone, errs := s.follow(ctx, old, p)
	if s.failed = errors.Join(errs...); s.failed != nil {
		s.failed = fmt.Errorf("the configuration is in force, but not all of it: %w", s.failed)
		s.log.Error().Str("error", s.keys.RedactString(s.failed.Error())).Msg("the configuration was read again, and not all of it could be done")
	}
	s.mu.Unlock()
	s.recheckRemote(old, p)
	for _, t := range gone {
		t.ended()
	}
	if old.servers != nil {
		old.servers.Close()
	}
	old.close()
	p.warn(s.log)
	s.log.Info().Msg("the configuration was read again")
	return p.watched, p.seen
}

// follow makes of the sandboxes what a new plan says of them: those that it names
// are changed where it says otherwise than the one before, added or dropped, and
// everywhere its policies decide. It returns those that end.
func (s *sidecar) follow(ctx context.Context, old, p *plan) (gone []*tenant, errs []error) {
	find := func(in *plan, name string) *planned {
		i := slices.IndexFunc(in.sandboxes, func(x planned) bool { return x.Name == name })
		if i < 0 {
			return nil
		}
		return &in.sandboxes[i]
	}
	errs = s.shutDoors(p)
	defer s.shutOpened()
	for _, t := range s.tenants {
		sb := *t.gate.Sandbox()
		if t.planned != "" {
			was, is := find(old, t.planned), find(p, t.planned)
			if is == nil || was != nil && (was.way() != is.way()) {
				errs = append(errs, s.control(ctx, nobodyAsked, &sb, "remove", nil), s.drop(t))
				gone = append(gone, t)
				continue
			}
			if was == nil || !was.same(is) {
				sb.Labels, sb.Props, sb.Policy, sb.Mode, sb.Bindings, sb.Vias, sb.Limits = is.Labels, is.Props, is.Policy, is.Mode, is.Bindings, is.Vias, is.Limits
				sb.Identity = is.identified(sb.Identity)
				t.mu.Lock()
				t.usual, t.said = is.usual, is.said()
				t.mu.Unlock()
				errs = append(errs, s.control(ctx, nobodyAsked, &sb, "change", map[string]string{"by": "configuration"}), t.followDoor(is))
			}
		}
		if t.usual {
			sb.Policy = p.def
		}
		errs = append(errs, s.apply(t, &sb))
	}
	for _, x := range p.sandboxes {
		if s.tenantNamed(x.Name) != nil {
			continue
		}
		errs = append(errs, s.add(ctx, nobodyAsked, x, nil))
	}
	return gone, append(errs, p.exportCA(s.issuer.CAPEM()))
}

// replan makes a plan of the file as it is now, that can replace the old one, and
// records it.
func (s *sidecar) replan(ctx context.Context, file string, old *plan) (_ *plan, err error) {
	p, err := loadPlan(ctx, file, s.held, s.feeds)
	if err != nil {
		return nil, err
	}
	p.shadows = s.shadows
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if fixed := p.fixed(old); len(fixed) > 0 {
		return nil, fmt.Errorf("%s: a change of %s needs a restart", file, strings.Join(fixed, ", "))
	}
	bad := &config.Problems{File: file}
	for _, x := range p.sandboxes {
		if t := s.tenantNamed(x.Name); t != nil && t.planned == "" {
			bad.Add(x.pos, "sandboxes", "there is a sandbox %q that was made by command: remove that (sallyport sandbox rm %[1]s), or name this otherwise", x.Name)
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	for _, t := range s.tenants {
		sb := t.gate.Sandbox()
		if t.planned != "" { // it says what it is
			continue
		}
		named := sb.Policy
		if t.usual {
			named = p.def
		}
		if _, err := p.describe(sb.Name, sb.Labels, sb.Props, named, string(sb.Mode), tell(sb).Bindings); err != nil {
			return nil, fmt.Errorf("sandbox %s: %w", sb.Name, err)
		}
	}
	if err := s.prepare(p); err != nil {
		return nil, err
	}
	d := map[string]string{}
	p.detail(d)
	for n, pol := range p.policies {
		d["policy."+n] = pol.Digest()
	}
	if _, err := s.records.Record(ctx, &audit.Event{Name: audit.ConfigLoaded, Lifecycle: &audit.Lifecycle{Detail: d}}); err != nil {
		s.shutOpened()
		return nil, err
	}
	if err := s.loaded(p, old); err != nil {
		s.shutOpened()
		return nil, err
	}
	return p, nil
}
