package sidecar

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"sallyport/audit"
	"sallyport/sandbox"
)

// begin records the start, makes the sandboxes of the configuration, and takes
// those back that others still hold.
func (s *sidecar) begin(ctx context.Context) error {
	p := s.plan.Load()
	d := map[string]string{"policies": strings.Join(slices.Sorted(maps.Keys(p.policies)), " ")}
	p.detail(d)
	if s.memory > 0 {
		d["memory_limit"] = strconv.FormatInt(s.memory, 10)
	}
	if _, err := s.records.Record(ctx, &audit.Event{Name: audit.LifecycleStart, Lifecycle: &audit.Lifecycle{Version: "sallyport", Detail: d}}); err != nil {
		return err
	}
	if err := s.loaded(p, nil); err != nil {
		return err
	}
	were, err := s.shelf.load()
	if err != nil {
		return err
	}
	if err := p.exportCA(s.issuer.CAPEM()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	planned := map[string]*kept{}
	for _, k := range were {
		if k.Planned {
			planned[k.Sandbox.Name] = k
		}
	}
	for _, x := range p.sandboxes {
		if err := s.add(ctx, nobodyAsked, x, planned[x.Name]); err != nil {
			return err
		}
		delete(planned, x.Name)
	}
	for _, k := range were {
		if k.Planned && planned[k.Sandbox.Name] == nil {
			continue
		}
		if err := s.restore(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// restore takes a sandbox back, or forgets it: when the configuration does not
// name it any more, has another of its name, or nobody has held its namespace
// meanwhile.
func (s *sidecar) restore(ctx context.Context, k *kept) error {
	sb := &sandbox.Sandbox{ID: k.Sandbox.ID, Name: k.Sandbox.Name, Labels: k.Sandbox.Labels, Identity: sandbox.Identity{Way: sandbox.Way(k.Sandbox.Way)}}
	why := "it is not in the configuration"
	if !k.Planned {
		why = "nobody held its namespace over a restart"
	}
	another := s.tenantNamed(sb.Name) != nil
	if another {
		why = "there is another of this name"
	}
	if !k.Planned && !another && (k.Holds || k.Cookie == 0 && sb.Identity.Way.Lasts()) {
		p := s.plan.Load()
		named := k.Sandbox.Policy
		if k.Usual {
			named = nil
		}
		is, err := p.describe(sb.Name, sb.Labels, k.Sandbox.Props, named, k.Sandbox.Mode, k.Sandbox.Bindings)
		if err == nil {
			is.Identity, is.Limits = sb.Identity, sandbox.Limits(k.Sandbox.Limits)
			return s.add(ctx, nobodyAsked, planned{Sandbox: *is, usual: k.Usual}, k)
		}
		why = err.Error()
		s.log.Error().Err(err).Str("sandbox", sb.Name).Msg("a sandbox from before the restart is forgotten: the configuration has no room for it")
	}
	err := s.control(ctx, nobodyAsked, sb, "remove", map[string]string{"reason": why})
	return errors.Join(err, s.shelf.drop(sb.ID), os.RemoveAll(s.enrolAt(sb.ID)))
}

// end drains and stops.
func (s *sidecar) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.plan.Load().file.DrainTimeout.D)
	defer cancel()
	s.stopping.Store(true)
	err := s.srv.Shutdown(ctx)
	s.mu.Lock()
	for _, t := range s.tenants {
		t.gone = make(chan struct{})
		go func() { defer close(t.gone); t.close() }()
	}
	for _, t := range s.tenants {
		t.ended()
	}
	s.mu.Unlock()
	_ = s.records.Append(&audit.Event{Name: audit.LifecycleStop, Lifecycle: &audit.Lifecycle{Version: "sallyport"}})
	if errors.Is(err, context.DeadlineExceeded) { // what did not end in time was cut, and is recorded as that
		err = nil
	}
	return errors.Join(err, s.records.Close(), s.endShipping())
}

// said names what a configuration says of a sandbox that a patch can change, and
// tells nothing of it; "" when it does not say anything.
func (x *planned) said() string {
	if x.planned == "" {
		return ""
	}
	named := x.Policy
	if x.usual {
		named = nil
	}
	b, err := json.Marshal([]any{x.Labels, x.Props, named, x.Mode, x.Limits})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// asChanged makes a sandbox of the configuration what patches had made of it before
// a restart. What the configuration has no room for any more is left as it says.
func (s *sidecar) asChanged(sb *sandbox.Sandbox, usual *bool, was *kept) {
	named := was.Sandbox.Policy
	if was.Usual {
		named = nil
	}
	is, err := s.plan.Load().describe(sb.Name, was.Sandbox.Labels, was.Sandbox.Props, named, was.Sandbox.Mode, nil)
	if err != nil {
		s.log.Error().Err(err).Str("sandbox", sb.Name).Msg("what was changed of a sandbox before the restart is forgotten: the configuration has no room for it")
		return
	}
	sb.Labels, sb.Props, sb.Policy, sb.Mode, sb.Limits = is.Labels, is.Props, is.Policy, is.Mode, sandbox.Limits(was.Sandbox.Limits)
	*usual = was.Usual
}
