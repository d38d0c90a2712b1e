package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/config"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
)

// A sidecar is what serve does: it keeps the sandboxes and their gates.
type sidecar struct {
	file    *config.File
	srv     *proxy.Server
	records *audit.Log
	issuer  *leaf.Issuer
	keys    *keyring
	reg     *sandbox.Registry
	log     zerolog.Logger
	started time.Time
	ready   atomic.Bool
	plan    atomic.Pointer[plan]

	mu      sync.Mutex // of changes: one at a time
	tenants map[string]*tenant
	failed  error // why the last reload was not taken

	claims     sync.Mutex
	namespaces map[uint64]*tenant // by cookie
}

var (
	_ admin.Keeper = (*sidecar)(nil)
	_ admin.Teller = (*sidecar)(nil)
)

func newSidecar(f *config.File, srv *proxy.Server, records *audit.Log, issuer *leaf.Issuer, keys *keyring, p *plan) *sidecar {
	s := &sidecar{file: f, srv: srv, records: records, issuer: issuer, keys: keys, reg: sandbox.NewRegistry(), log: newLogger(), started: time.Now(), tenants: map[string]*tenant{}, namespaces: map[uint64]*tenant{}}
	s.plan.Store(p)
	return s
}

// nobodyAsked is who changes what the configuration says.
var nobodyAsked = admin.Actor{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: int32(os.Getpid())}

// begin records the start and makes the sandboxes of the configuration.
func (s *sidecar) begin(ctx context.Context) error {
	p := s.plan.Load()
	d := map[string]string{"policies": strings.Join(slices.Sorted(maps.Keys(p.policies)), " ")}
	if _, err := s.records.Record(ctx, &audit.Event{Name: audit.LifecycleStart, Lifecycle: &audit.Lifecycle{Version: "sallyport", Detail: d}}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range p.sandboxes {
		if err := s.add(ctx, nobodyAsked, x); err != nil {
			return err
		}
	}
	return nil
}

// end drains and stops.
func (s *sidecar) end(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	s.mu.Lock()
	for _, t := range s.tenants {
		t.close()
	}
	s.mu.Unlock()
	_ = s.records.Append(&audit.Event{Name: audit.LifecycleStop, Lifecycle: &audit.Lifecycle{Version: "sallyport"}})
	if errors.Is(err, context.DeadlineExceeded) { // what did not end in time was cut, and is recorded as that
		err = nil
	}
	return errors.Join(err, s.records.Close())
}

// control records a change before it has an effect, with who asked for it.
func (s *sidecar) control(ctx context.Context, a admin.Actor, sb *sandbox.Sandbox, what string, detail map[string]string) error {
	d := map[string]string{"action": what, "actor.uid": strconv.Itoa(int(a.UID)), "actor.gid": strconv.Itoa(int(a.GID)), "actor.pid": strconv.Itoa(int(a.PID))}
	maps.Copy(d, detail)
	ev := &audit.Event{Name: audit.ControlChange, Lifecycle: &audit.Lifecycle{Detail: d}}
	if sb != nil {
		ev.Sandbox = audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}
	}
	_, err := s.records.Record(context.WithoutCancel(ctx), ev)
	return err
}

// Create makes a sandbox that waits for its namespace.
func (s *sidecar) Create(ctx context.Context, a admin.Actor, c admin.Create) (admin.Created, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sb, err := s.plan.Load().describe(c.Name, c.Labels, c.Props, c.Policy, c.Mode, c.Bindings)
	if err != nil {
		return admin.Created{}, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	switch w := sandbox.Way(c.Way); w {
	case "":
		sb.Identity.Way = sandbox.WayRun
	case sandbox.WayRun, sandbox.WayAttach:
		sb.Identity.Way = w
	default:
		return admin.Created{}, fmt.Errorf("%w: way %q: expected run or attach", admin.ErrInvalid, c.Way)
	}
	x := planned{Sandbox: *sb}
	if err := s.add(ctx, a, x); err != nil {
		return admin.Created{}, err
	}
	t := s.tenantNamed(c.Name)
	ticket, err := t.expect(s.file.Control.Socket.S)
	if err != nil {
		_ = s.drop(t)
		return admin.Created{}, err
	}
	ticket.CA = string(s.issuer.CAPEM())
	return admin.Created{Sandbox: tell(t.gate.Sandbox()), Ticket: ticket}, nil
}

// add makes a sandbox and its gate.
func (s *sidecar) add(ctx context.Context, a admin.Actor, x planned) error {
	sb := x.Sandbox
	sb.ID, sb.Created = sandbox.NewID(), time.Now()
	if x.socket != "" {
		sb.Identity = sandbox.Identity{Way: sandbox.WayExplicit, Peer: x.socket}
	}
	if err := s.reg.View(func(tx *sandbox.Tx) error {
		_, err := tx.ByName(sb.Name)
		return err
	}); err == nil {
		return fmt.Errorf("%w: there is a sandbox %q already", admin.ErrConflict, sb.Name)
	}
	if err := s.control(ctx, a, &sb, "create", map[string]string{"policy": strings.Join(sb.Policy, " "), "mode": string(sb.Mode)}); err != nil {
		return err
	}
	if err := s.reg.Update(func(tx *sandbox.Tx) error { return tx.Put(&sb) }); err != nil {
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	t := &tenant{s: s, names: sandbox.NewNames(0)}
	t.gate = s.srv.Open(&sb, s.plan.Load().layers(&sb), t.names)
	s.tenants[sb.ID] = t
	if x.socket == "" {
		return nil
	}
	if err := t.explicit(x.socket, x.owner); err != nil {
		_ = s.drop(t)
		return fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	return nil
}

func (s *sidecar) tenantNamed(ref string) *tenant {
	if t := s.tenants[ref]; t != nil {
		return t
	}
	for _, t := range s.tenants {
		if t.gate.Sandbox().Name == ref {
			return t
		}
	}
	return nil
}

// claim makes a namespace one sandbox's. The caller holds the tenant's lock.
func (s *sidecar) claim(cookie uint64, by *tenant) error {
	s.claims.Lock()
	defer s.claims.Unlock()
	if owner := s.namespaces[cookie]; owner != nil && owner != by {
		return errors.New("the namespace is another sandbox's")
	}
	s.namespaces[cookie] = by
	return nil
}

// Change applies a patch: recorded, then known, then at the gate, which asks
// again about what is open.
func (s *sidecar) Change(ctx context.Context, a admin.Actor, ref string, p admin.Patch) (admin.Sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenantNamed(ref)
	if t == nil {
		return admin.Sandbox{}, fmt.Errorf("%w: %s", admin.ErrNotFound, ref)
	}
	sb, what, err := patched(t.gate.Sandbox(), p, s.plan.Load())
	if err != nil {
		return admin.Sandbox{}, err
	}
	if err := s.control(ctx, a, sb, "change", what); err != nil {
		return admin.Sandbox{}, err
	}
	return tell(sb), s.apply(t, sb)
}

// apply makes a sandbox known as it is now, and lets its gate follow.
func (s *sidecar) apply(t *tenant, sb *sandbox.Sandbox) error {
	if err := s.reg.Update(func(tx *sandbox.Tx) error { return tx.Put(sb) }); err != nil {
		return err
	}
	t.gate.Update(sb, s.plan.Load().layers(sb))
	return nil
}

// Remove revokes, cuts and forgets.
func (s *sidecar) Remove(ctx context.Context, a admin.Actor, ref string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenantNamed(ref)
	if t == nil {
		return fmt.Errorf("%w: %s", admin.ErrNotFound, ref)
	}
	if err := s.control(ctx, a, t.gate.Sandbox(), "remove", nil); err != nil {
		return err
	}
	return s.drop(t)
}

func (s *sidecar) drop(t *tenant) error {
	id := t.gate.Sandbox().ID
	revoked := *t.gate.Sandbox()
	revoked.Revoked = true
	t.gate.Update(&revoked, s.plan.Load().layers(&revoked))
	t.close()
	delete(s.tenants, id)
	s.claims.Lock()
	delete(s.namespaces, t.cookie)
	s.claims.Unlock()
	return s.reg.Update(func(tx *sandbox.Tx) error { return tx.Delete(id) })
}

// patched is a sandbox after a patch, and what changed.
func patched(old *sandbox.Sandbox, p admin.Patch, pl *plan) (*sandbox.Sandbox, map[string]string, error) {
	sb, what := *old, map[string]string{}
	if p.Labels != nil {
		sb.Labels = maps.Clone(old.Labels)
		if sb.Labels == nil {
			sb.Labels = map[string]string{}
		}
		for k, v := range p.Labels {
			if v == nil {
				delete(sb.Labels, k)
			} else {
				sb.Labels[k] = *v
			}
		}
		what["labels"] = strings.Join(slices.Sorted(maps.Keys(p.Labels)), " ")
	}
	if p.Props != nil {
		sb.Props = maps.Clone(old.Props)
		if sb.Props == nil {
			sb.Props = map[string]any{}
		}
		for k, v := range p.Props {
			if v == nil {
				delete(sb.Props, k)
			} else {
				sb.Props[k] = v
			}
		}
		what["props"] = strings.Join(slices.Sorted(maps.Keys(p.Props)), " ")
	}
	named, mode := sb.Policy, string(sb.Mode)
	if p.Policy != nil {
		named, what["policy"] = p.Policy, strings.Join(p.Policy, " ")
	}
	if p.Mode != nil {
		mode, what["mode"] = *p.Mode, *p.Mode
	}
	checked, err := pl.describe(sb.Name, sb.Labels, sb.Props, named, mode, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	sb.Policy, sb.Mode = checked.Policy, checked.Mode
	if p.State != nil {
		if sb.Revoked {
			return nil, nil, fmt.Errorf("%w: %s is revoked, and stays so", admin.ErrConflict, sb.Name)
		}
		switch *p.State {
		case admin.Active:
			sb.Paused = false
		case admin.Paused:
			sb.Paused = true
		case admin.Revoked:
			sb.Revoked = true
		default:
			return nil, nil, fmt.Errorf("%w: state %q: expected active, paused or revoked", admin.ErrInvalid, *p.State)
		}
		what["state"] = *p.State
	}
	return &sb, what, nil
}

// tell is a sandbox in the words of the API.
func tell(sb *sandbox.Sandbox) admin.Sandbox {
	out := admin.Sandbox{ID: sb.ID, Name: sb.Name, Labels: sb.Labels, Props: sb.Props, Policy: sb.Policy, Mode: string(sb.Mode), State: admin.Active, Way: string(sb.Identity.Way), Created: sb.Created}
	switch {
	case sb.Revoked:
		out.State = admin.Revoked
	case sb.Paused:
		out.State = admin.Paused
	}
	for _, b := range sb.Bindings {
		if out.Bindings == nil {
			out.Bindings = map[string]string{}
		}
		name, target := bindingText(b)
		out.Bindings[name] = target
	}
	return out
}

// Sandboxes lists those that have all the labels.
func (s *sidecar) Sandboxes(labels map[string]string) (out []admin.Sandbox, err error) {
	var all []sandbox.Sandbox
	err = s.reg.View(func(tx *sandbox.Tx) (err error) { all, err = tx.List(labels); return err })
	for i := range all {
		out = append(out, tell(&all[i]))
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
			if err := see(admin.Change{Sandbox: tell(&ev.Sandbox), Gone: ev.Deleted}); err != nil {
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
	out := admin.Status{Version: version(), Started: s.started, Credentials: append([]string{}, p.names...), Audit: s.file.Audit.Dir.S, Ready: true}
	s.mu.Lock()
	out.Sandboxes = len(s.tenants)
	if s.failed != nil {
		out.Reasons = append(out.Reasons, "the last reload was not taken, the configuration before it is in force: "+s.failed.Error())
	}
	s.mu.Unlock()
	if err := s.records.Ready(); err != nil {
		out.Ready, out.Reasons = false, append(out.Reasons, err.Error())
	}
	if !s.ready.Load() {
		out.Ready, out.Reasons = false, append(out.Reasons, "it is starting or stopping")
	}
	for _, n := range slices.Sorted(maps.Keys(p.policies)) {
		out.Policies = append(out.Policies, admin.Policy{Name: n, Digest: p.policies[n].Digest()})
	}
	return out
}

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
