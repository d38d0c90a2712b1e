package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/audit"
	"sallyport/cmd/sidecar"
	"sallyport/cmd/terms"
	"sallyport/cmd/words"
	"sallyport/credentials"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// runSandbox is one run from its parts to its exit code. The namespaces are made
// while the policy is compiled; nothing runs in them before all is ready.
func runSandbox(ctx context.Context, o *runOptions) error {
	log := words.NewLogger()
	issuer, err := leaf.New(leaf.Options{CommonName: "sallyport run"})
	if err != nil {
		return err
	}
	if o.auditDir, err = runDir(o); err != nil {
		return err
	}
	spec, err := o.spec(issuer.CAPEM())
	if err != nil {
		return err
	}
	store, err := credentials.New(ctx, o.credentials)
	if err != nil {
		return err
	}
	id := sandbox.NewID()
	spec.Env = withPlaceholders(spec.Env, store.Placeholders(credentials.Target{Labels: o.labels, Sandbox: id}))
	coming := begin(ctx, spec)
	defer coming.abandon()
	pol, err := loadPolicy(ctx, o)
	if err != nil {
		return err
	}
	for _, n := range pol.Credentials() {
		if !slices.ContainsFunc(o.credentials, func(b credentials.Binding) bool { return b.Name == n }) {
			fmt.Fprintf(o.stderr, "sallyport: the policy asks for the credential %q, which is not given: what needs it will be refused (give it with --credential %s=…)\n", n, n)
		}
	}
	records, err := audit.Open(o.auditDir, audit.Options{Service: words.Version(), Filter: store.Redact})
	if err != nil {
		return err
	}
	defer records.Close()
	sum := newSummary(records)
	srv, err := proxy.New(proxy.Config{Audit: sum, Credentials: store, Issuer: issuer, Resolver: terms.Resolver(o.resolve, o.servers), Exchanger: terms.NameServers(o.servers), Reach: &o.reach,
		AllowPrivate: o.allowPrivate, UpstreamRoots: o.roots, Log: log})
	if err != nil {
		return err
	}
	reg := sandbox.NewRegistry()
	sb, err := register(reg, o, pol, id)
	if err != nil {
		return err
	}
	if _, err := records.Record(ctx, started(o, pol)); err != nil {
		return err
	}
	box, err := coming.take()
	if err != nil {
		return err
	}
	names := sandbox.NewNames(0)
	gate := srv.Open(sb, pol, names)
	var serving sync.WaitGroup
	sidecar.ServeSockets(&serving, gate, &box.Sockets, names)
	sigs := forward(box)
	if err := box.Go(); err != nil {
		box.Kill()
		return err
	}
	exit := box.Wait()
	sigs()
	box.Close()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	_ = srv.Shutdown(stop)
	gate.Close()
	serving.Wait()
	_ = records.Append(&audit.Event{Name: audit.LifecycleStop, Lifecycle: &audit.Lifecycle{Version: "sallyport", Detail: map[string]string{"exit_code": strconv.Itoa(exit.Code)}}})
	cerr := records.Close()
	if !o.quiet {
		sum.print(o.stderr, o.policyDir == "" && o.policyFS == nil, o.auditDir)
	}
	if cerr != nil {
		log.Error().Err(cerr).Msg("the log could not be closed")
	}
	if exit.Err != nil {
		return &exitError{exit.Code, exit.Err}
	}
	if exit.Code != 0 {
		return &exitError{code: exit.Code}
	}
	return cerr
}

// A coming is a sandbox that is being made.
type coming struct {
	done  chan struct{}
	taken bool
	box   *netns.Sandbox
	err   error
}

func begin(ctx context.Context, spec netns.Spec) *coming {
	c := &coming{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.box, c.err = netns.Start(ctx, spec)
	}()
	return c
}

// take waits for the sandbox, which is the caller's from then on.
func (c *coming) take() (*netns.Sandbox, error) {
	<-c.done
	c.taken = true
	return c.box, c.err
}

// abandon ends what nobody took.
func (c *coming) abandon() {
	if c.taken {
		return
	}
	if box, err := c.take(); err == nil {
		box.Kill()
		box.Wait()
		box.Close()
	}
}

func loadPolicy(ctx context.Context, o *runOptions) (*rego.Policy, error) {
	if o.policyFS != nil {
		return rego.Load(ctx, rego.Options{Name: o.name, FS: o.policyFS})
	}
	if o.policyDir != "" {
		p, err := rego.Load(ctx, rego.Options{Name: filepath.Base(o.policyDir), Dir: o.policyDir})
		if err != nil {
			return nil, notTaken(ctx, o, err)
		}
		for _, k := range p.RequiresProps() {
			if _, ok := o.props[k]; !ok {
				return nil, fmt.Errorf("policy %s needs the property %q: give it with --prop %s=VALUE", o.policyDir, k, k)
			}
		}
		return p, nil
	}
	granting, err := o.granting()
	if err != nil {
		return nil, err
	}
	return rego.Load(ctx, rego.Options{Name: "default", FS: granting, Data: map[string]any{"run": o.grants.Data(o.credentialGrants(), o.mode)}})
}

// notTaken shows what is wrong with a policy as policy check does.
func notTaken(ctx context.Context, o *runOptions, err error) error {
	r := rego.Inspect(ctx, o.policyDir)
	if r.OK || len(r.Errors) == 0 { // it was mended meanwhile
		return err
	}
	r.Warnings = nil
	printReport(o.stderr, r, true)
	return fmt.Errorf("the policy %s is not taken, and nothing was run: sallyport policy check %[1]s says so, too", o.policyDir)
}

// runDir is where the records of this run go.
func runDir(o *runOptions) (string, error) {
	if o.auditDir != "" { // it is there before the view is built, so that it is covered
		d, err := filepath.Abs(o.auditDir)
		if err == nil {
			err = os.MkdirAll(d, 0o700)
		}
		if err != nil {
			return "", fmt.Errorf("--audit: %w", err)
		}
		return d, nil
	}
	s, err := stateDir()
	if err != nil {
		return "", err
	}
	d := filepath.Join(s, "runs", time.Now().UTC().Format("20060102T150405.000Z")+"-"+strconv.Itoa(os.Getpid()))
	return d, os.MkdirAll(d, 0o700)
}

// register makes the sandbox known.
func register(reg *sandbox.Registry, o *runOptions, pol *rego.Policy, id string) (*sandbox.Sandbox, error) {
	sb := &sandbox.Sandbox{ID: id, Name: o.name, Labels: o.labels, Props: o.props, Policy: []string{pol.Name()}, Mode: o.mode,
		Identity: sandbox.Identity{Way: sandbox.WayRun, Peer: "self"}, Bindings: o.grants.Bind, Created: time.Now()}
	if sb.Name == "" {
		sb.Name = filepath.Base(o.argv[0])
	}
	if err := reg.Update(func(tx *sandbox.Tx) error { return tx.Put(sb) }); err != nil {
		return nil, err
	}
	var out *sandbox.Sandbox
	err := reg.View(func(tx *sandbox.Tx) (err error) {
		out, err = tx.ByIdentity(sb.Identity)
		return err
	})
	return out, err
}

func started(o *runOptions, pol *rego.Policy) *audit.Event {
	return &audit.Event{Name: audit.LifecycleStart, Lifecycle: &audit.Lifecycle{Version: "sallyport", Command: filepath.Base(o.argv[0]), Policy: pol.Name(), Digest: pol.Digest(),
		Detail: map[string]string{"mode": string(o.mode), "arguments": strconv.Itoa(len(o.argv) - 1)}}}
}

// forward passes the caller's signals on until the returned function is called,
// without those that the caller lets it ignore.
func forward(box *netns.Sandbox) (stop func()) {
	ch := make(chan os.Signal, 16)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	go func() {
		for s := range ch {
			box.Signal(s)
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
	}
}

var _ proxy.Decider = (*rego.Policy)(nil)
