package sidecar

import (
	"context"
	"time"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/cmd/words"
	"sallyport/credentials"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// told is a sandbox with the placeholders that it is given.
func (s *sidecar) told(sb *sandbox.Sandbox) admin.Sandbox {
	out := tell(sb)
	out.Placeholders = s.placeholders(sb)
	return out
}

func (s *sidecar) placeholders(sb *sandbox.Sandbox) map[string]string {
	return s.keys.held.Load().Placeholders(credentials.Target{Labels: sb.Labels, Sandbox: sb.ID})
}

// tell is a sandbox in the words of the API.
func tell(sb *sandbox.Sandbox) admin.Sandbox {
	out := admin.Sandbox{ID: sb.ID, Name: sb.Name, Labels: sb.Labels, Props: sb.Props, Policy: sb.Policy, Mode: string(sb.Mode), State: stateOf(sb), Limits: admin.Limits(sb.Limits), Way: string(sb.Identity.Way), Created: sb.Created}
	for _, b := range sb.Bindings {
		if out.Bindings == nil {
			out.Bindings = map[string]admin.Binding{}
		}
		name, said := terms.BindingSaid(b)
		out.Bindings[name] = said
	}
	for _, v := range sb.Vias {
		_, to := terms.BindingText(sandbox.Binding{Target: v.Target, TargetScheme: v.TargetScheme, PathPrefix: v.PathPrefix})
		out.Via = append(out.Via, admin.Via{Match: v.Match.String(), To: to, Credentials: v.Credentials, Key: v.Key.ID()})
	}
	return out
}

// stateOf is the state of a sandbox in the words of the API.
func stateOf(sb *sandbox.Sandbox) string {
	switch {
	case sb.Revoked:
		return admin.Revoked
	case sb.Paused:
		return admin.Paused
	}
	return admin.Active
}

// Sandboxes lists those that have all the labels.
func (s *sidecar) Sandboxes(labels map[string]string) (out []admin.Sandbox, err error) {
	var all []sandbox.Sandbox
	err = s.reg.View(func(tx *sandbox.Tx) (err error) { all, err = tx.List(labels); return err })
	for i := range all {
		out = append(out, s.told(&all[i]))
	}
	return out, err
}

// Watch tells of changes.
func (s *sidecar) Watch(ctx context.Context, see func(admin.Change) error) error {
	events, cancel := s.reg.Subscribe(256)
	defer cancel()
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				return admin.ErrBehind
			}
			if err := see(admin.Change{Sandbox: s.told(&ev.Sandbox), Gone: ev.Deleted}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status tells how the sidecar is, and why it is not ready.
func (s *sidecar) Status() admin.Status {
	p := s.plan.Load()
	out := admin.Status{Version: words.Version(), Started: s.started, Credentials: append([]string{}, p.names...), Audit: s.file.Audit.Dir.S, Ready: true}
	s.tellCA(&out, time.Now())
	out.Limits = admin.Limits(p.limits.Or(sandbox.Limits{Connections: proxy.DefaultConns, Requests: proxy.DefaultRequests}))
	s.mu.Lock()
	out.Sandboxes = len(s.tenants)
	if s.failed != nil {
		out.Reasons = append(out.Reasons, s.keys.RedactString(words.Plain(s.failed.Error())))
	}
	s.mu.Unlock()
	if err := s.records.Ready(); err != nil {
		out.Ready, out.Reasons = false, append(out.Reasons, err.Error())
	}
	if !s.ready.Load() {
		out.Ready, out.Reasons = false, append(out.Reasons, "it is starting or stopping")
	}
	var err error
	if out.Confinement, err = tellConfined(); err != nil {
		out.Ready, out.Reasons = false, append(out.Reasons, "what it may is not known: "+err.Error())
	}
	p.tellReach(&out)
	s.tellSinks(&out)
	for _, n := range p.policyNames() {
		out.Policies = append(out.Policies, s.tellPolicy(p, n))
	}
	reasons, whole := s.tellFed(p)
	out.Ready, out.Reasons = out.Ready && whole, append(out.Reasons, reasons...)
	return out
}
