package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	records *journal
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

func newSidecar(f *config.File, srv *proxy.Server, records *journal, issuer *leaf.Issuer, keys *keyring, p *plan) *sidecar {
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
		s.tenantNamed(x.Name).planned = x.Name
	}
	return nil
}

// end drains and stops.
func (s *sidecar) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.plan.Load().file.DrainTimeout.D)
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
	x := planned{Sandbox: *sb, usual: len(c.Policy) == 0}
	if err := s.add(ctx, a, x); err != nil {
		return admin.Created{}, err
	}
	t := s.tenantNamed(c.Name)
	ticket, err := t.expect(s.file.Control.Socket.S, a)
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
	t := &tenant{s: s, names: sandbox.NewNames(0), open: map[io.Closer]struct{}{}, usual: x.usual}
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
	if p.Policy != nil {
		t.usual = false
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
	t := s.tenantNamed(ref)
	if t == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", admin.ErrNotFound, ref)
	}
	err := s.control(ctx, a, t.gate.Sandbox(), "remove", nil)
	if err == nil {
		err = s.drop(t)
	}
	s.mu.Unlock()
	if err == nil {
		t.ended()
	}
	return err
}

func (s *sidecar) drop(t *tenant) error {
	id := t.gate.Sandbox().ID
	revoked := *t.gate.Sandbox()
	revoked.Revoked = true
	t.gate.Update(&revoked, s.plan.Load().layers(&revoked))
	t.mu.Lock()
	t.closed = true // nothing enrols any more
	cookie := t.cookie
	t.mu.Unlock()
	t.gone = make(chan struct{})
	go func() { defer close(t.gone); t.close() }() // what it waits for is not ours to wait for
	delete(s.tenants, id)
	s.claims.Lock()
	if s.namespaces[cookie] == t {
		delete(s.namespaces, cookie)
	}
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
