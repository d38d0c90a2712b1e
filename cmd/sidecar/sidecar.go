// Package sidecar is what serve runs: it keeps many sandboxes, each with its gate,
// as a configuration and the control API say, and what it knows of them over a restart.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/cmd/terms"
	"sallyport/cmd/words"
	"sallyport/config"
	"sallyport/credentials"
	"sallyport/metrics"
	"sallyport/policy"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
)

// A sidecar is what serve does: it keeps the sandboxes and their gates.
type sidecar struct {
	file    *config.File
	srv     *proxy.Server
	records *journal
	meter   *metrics.Meter
	shadows *policy.Shadows
	feeds   *feeds
	recent  *audit.Recent
	remote  *admin.RemoteServer // nil when the API is not served over TCP
	issuer  *leaf.Issuer
	keys    *keyring
	held    *credentials.Shared

	shippers []shipping
	reg      *sandbox.Registry
	log      zerolog.Logger
	started  time.Time
	memory   int64 // limit that the garbage collector heeds; 0 is none
	shelf    *shelf
	ready    atomic.Bool
	// stopping: what others hold of a sandbox is left as it is.
	stopping atomic.Bool
	plan     atomic.Pointer[plan]

	mu      sync.Mutex // of changes: one at a time
	tenants map[string]*tenant
	failed  error                           // why the last reload was not taken
	opened  map[netip.AddrPort]net.Listener // for the plan that is about to be followed

	claims     sync.Mutex
	namespaces map[uint64]*tenant // by cookie
}

var (
	_ admin.Keeper = (*sidecar)(nil)
	_ admin.Teller = (*sidecar)(nil)
)

func newSidecar(f *config.File, srv *proxy.Server, records *journal, issuer *leaf.Issuer, keys *keyring, p *plan, kept *shelf) *sidecar {
	s := &sidecar{file: f, srv: srv, records: records, issuer: issuer, keys: keys, shelf: kept, reg: sandbox.NewRegistry(), log: words.NewLogger().Level(zerolog.InfoLevel), started: time.Now(), tenants: map[string]*tenant{}, namespaces: map[uint64]*tenant{}}
	s.plan.Store(p)
	return s
}

// nobodyAsked is who changes what the configuration says.
var nobodyAsked = admin.Actor{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: int32(os.Getpid())}

// control records a change before it has an effect, with who asked for it.
func (s *sidecar) control(ctx context.Context, a admin.Actor, sb *sandbox.Sandbox, what string, detail map[string]string) error {
	d := actorDetail(a)
	d["action"] = what
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
	case sandbox.WayRun, sandbox.WayJoin, sandbox.WayAttach, sandbox.WayGateway:
		sb.Identity.Way = w
	default:
		return admin.Created{}, fmt.Errorf("%w: way %q: expected run, join, attach or gateway", admin.ErrInvalid, c.Way)
	}
	if sb.Limits, err = terms.LimitsOf(c.Limits); err != nil {
		return admin.Created{}, err
	}
	x := planned{Sandbox: *sb, usual: len(c.Policy) == 0}
	if err := s.add(ctx, a, x, nil); err != nil {
		return admin.Created{}, err
	}
	t := s.tenantNamed(c.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	token, err := t.invite()
	if err != nil {
		return admin.Created{}, errors.Join(err, s.drop(t))
	}
	return admin.Created{Sandbox: s.told(t.gate.Sandbox()), Ticket: admin.Ticket{Socket: t.socket, Token: token, CA: string(s.issuer.CAPEM())}}, nil
}

// add makes a sandbox and its gate; was is what is known of it from before a
// restart, or nil.
func (s *sidecar) add(ctx context.Context, a admin.Actor, x planned, was *kept) error {
	sb, action, said := x.Sandbox, "create", x.said()
	sb.ID, sb.Created = sandbox.NewID(), time.Now()
	if was != nil {
		action = "restore"
		sb.ID, sb.Created = was.Sandbox.ID, was.Sandbox.Created
		sb.Paused, sb.Revoked = was.Sandbox.State == admin.Paused, was.Sandbox.State == admin.Revoked
		if x.planned != "" && was.Said == said {
			s.asChanged(&sb, &x.usual, was)
		}
	}
	if id := x.identity(); id.Peer != "" {
		sb.Identity = id
	}
	if err := s.reg.View(func(tx *sandbox.Tx) error {
		_, err := tx.ByName(sb.Name)
		return err
	}); err == nil {
		return fmt.Errorf("%w: there is a sandbox %q already", admin.ErrConflict, sb.Name)
	}
	if err := s.control(ctx, a, &sb, action, map[string]string{"policy": strings.Join(sb.Policy, " "), "mode": string(sb.Mode)}); err != nil {
		return err
	}
	names, err := s.shelf.names(sb.ID)
	if err != nil {
		return err
	}
	if err := s.reg.Update(func(tx *sandbox.Tx) error { return tx.Put(&sb) }); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", admin.ErrConflict, err), names.Close())
	}
	t := &tenant{s: s, names: names, open: map[io.Closer]struct{}{}, usual: x.usual, planned: x.planned, said: said, enrolment: enrolment{by: a.UID, dir: x.enrolDir}}
	if x.enrolDir != "" {
		t.by = uint32(x.enrolUser)
	}
	t.gate = s.srv.Open(&sb, s.plan.Load().layers(&sb), t.names)
	s.tenants[sb.ID] = t
	if err := t.begin(x, was); err != nil {
		err = fmt.Errorf("sandbox %s: %w", sb.Name, err)
		err = errors.Join(err, s.control(ctx, a, &sb, action+".error", map[string]string{"error": err.Error()}))
		if was != nil { // what was kept of it is for the next try
			return errors.Join(err, s.close(t))
		}
		return errors.Join(err, s.drop(t))
	}
	return nil
}

// begin opens the way in.
func (t *tenant) begin(x planned, was *kept) error {
	if was != nil && was.Holds {
		if err := t.takeOver(was); err != nil {
			return err
		}
		t.awaited()
	}
	way := t.gate.Sandbox().Identity.Way
	if way == sandbox.WayExplicit {
		return errors.Join(t.told(x), t.keep())
	}
	if way == "" {
		return t.keep()
	}
	if err := t.place(way); err != nil {
		return err
	}
	if err := t.expect(); err != nil {
		return err
	}
	if way == sandbox.WayRun && was == nil {
		t.awaited()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if way.Lasts() && !t.holds {
		_, err := t.invite()
		return err
	}
	return t.keep()
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

// unclaim lets go of a namespace. The caller holds the tenant's lock.
func (s *sidecar) unclaim(cookie uint64, by *tenant) {
	s.claims.Lock()
	defer s.claims.Unlock()
	if s.namespaces[cookie] == by {
		delete(s.namespaces, cookie)
	}
}

// Change applies a patch: recorded, then kept, then known, then at the gate, which
// asks again about what is open. What cannot be kept is not done, unless nothing
// passes with it.
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
	if err := t.keepNext(sb, p); err != nil {
		err = fmt.Errorf("what is kept of %s over a restart could not be written: %w", sb.Name, err)
		what["error"] = err.Error()
		err = errors.Join(err, s.control(ctx, a, sb, "change.error", what))
		if p.State == nil || *p.State == admin.Active {
			return admin.Sandbox{}, fmt.Errorf("nothing was changed: %w", err)
		}
		return s.told(sb), errors.Join(fmt.Errorf("%s is %s, but a restart would not know: %w", sb.Name, stateOf(sb), err), s.apply(t, sb))
	}
	return s.told(sb), s.apply(t, sb)
}

// apply makes a sandbox known as it is now, and lets its gate follow.
func (s *sidecar) apply(t *tenant, sb *sandbox.Sandbox) error {
	if err := s.reg.Update(func(tx *sandbox.Tx) error { return tx.Put(sb) }); err != nil {
		return err
	}
	t.gate.Update(sb, s.plan.Load().layers(sb))
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keep()
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

// drop closes a tenant and forgets it.
func (s *sidecar) drop(t *tenant) error {
	return errors.Join(s.close(t), s.shelf.drop(t.gate.Sandbox().ID))
}

// close cuts what a tenant has open, and does not wait for it.
func (s *sidecar) close(t *tenant) error {
	id := t.gate.Sandbox().ID
	revoked := *t.gate.Sandbox()
	revoked.Revoked = true
	t.gate.Update(&revoked, s.plan.Load().layers(&revoked))
	t.mu.Lock()
	t.closed = true // nothing enrols any more
	cookie, closing := t.cookie, t.closing
	t.closing = nil
	t.mu.Unlock()
	for _, f := range slices.Backward(closing) { // at once: another may be about to use the paths
		f()
	}
	t.shutDoor() // at once: another may be about to listen there
	t.gone = make(chan struct{})
	go func() { defer close(t.gone); t.close() }() // what it waits for is not ours to wait for
	delete(s.tenants, id)
	s.unclaim(cookie, t)
	return s.reg.Update(func(tx *sandbox.Tx) error { return tx.Delete(id) })
}
