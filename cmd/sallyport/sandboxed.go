package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/policies"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
	"sallyport/sandbox/trust"
)

// runSandbox is one run from its parts to its exit code. The namespaces are made
// while the policy is compiled; nothing runs in them before all is ready.
func runSandbox(ctx context.Context, o *runOptions) error {
	log := newLogger()
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
	coming := begin(ctx, spec)
	defer coming.abandon()
	pol, err := loadPolicy(ctx, o)
	if err != nil {
		return err
	}
	store, err := credentials.New(ctx, o.credentials)
	if err != nil {
		return err
	}
	for _, n := range pol.Credentials() {
		if !slices.ContainsFunc(o.credentials, func(b credentials.Binding) bool { return b.Name == n }) {
			fmt.Fprintf(o.stderr, "sallyport: the policy asks for the credential %q, which is not given: what needs it will be refused (give it with --credential %s=…)\n", n, n)
		}
	}
	records, err := audit.Open(o.auditDir, audit.Options{Service: version(), Filter: store.Redact})
	if err != nil {
		return err
	}
	defer records.Close()
	sum := newSummary(records)
	srv, err := proxy.New(proxy.Config{Audit: sum, Credentials: store, Issuer: issuer, Resolver: resolver(o.resolve),
		AllowPrivate: o.allowPrivate, UpstreamRoots: o.roots, Log: log})
	if err != nil {
		return err
	}
	reg := sandbox.NewRegistry()
	sb, err := register(reg, o, pol)
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
	serveSockets(&serving, gate, &box.Sockets, names)
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

func newLogger() zerolog.Logger {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.TimeOnly}).Level(zerolog.WarnLevel).With().Timestamp().Logger()
	}
	return zerolog.New(os.Stderr).Level(zerolog.WarnLevel).With().Timestamp().Logger()
}

func loadPolicy(ctx context.Context, o *runOptions) (*rego.Policy, error) {
	if o.policyFS != nil {
		return rego.Load(ctx, rego.Options{Name: o.name, FS: o.policyFS})
	}
	if o.policyDir != "" {
		p, err := rego.Load(ctx, rego.Options{Name: filepath.Base(o.policyDir), Dir: o.policyDir})
		if err != nil {
			return nil, err
		}
		for _, k := range p.RequiresProps() {
			if _, ok := o.props[k]; !ok {
				return nil, fmt.Errorf("policy %s needs the property %q: give it with --prop %s=VALUE", o.policyDir, k, k)
			}
		}
		return p, nil
	}
	return rego.Load(ctx, rego.Options{Name: "default", FS: policies.Default, Data: map[string]any{"run": o.grants.data(o.credentialGrants(), o.mode)}})
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
func register(reg *sandbox.Registry, o *runOptions, pol *rego.Policy) (*sandbox.Sandbox, error) {
	sb := &sandbox.Sandbox{ID: sandbox.NewID(), Name: o.name, Labels: o.labels, Props: o.props, Policy: []string{pol.Name()}, Mode: o.mode,
		Identity: sandbox.Identity{Way: sandbox.WayRun, Peer: "self"}, Bindings: o.grants.bind, Created: time.Now()}
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

// forward passes the caller's signals on until the returned function is called.
func forward(box *netns.Sandbox) (stop func()) {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
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

// A fixedResolver knows some names by --resolve and asks the system for the rest.
type fixedResolver struct {
	fixed map[dest.Host]netip.Addr
	rest  proxy.Resolver
}

func resolver(fixed map[dest.Host]netip.Addr) proxy.Resolver {
	return &fixedResolver{fixed, &net.Resolver{PreferGo: true}}
}

// LookupNetIP looks a name up.
func (r *fixedResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if h, err := dest.ParseHost(host); err == nil {
		if a, ok := r.fixed[h]; ok {
			return []netip.Addr{a}, nil
		}
	}
	return r.rest.LookupNetIP(ctx, network, host)
}

// spec is what the sandbox shows and runs.
func (o *runOptions) spec(ca []byte) (netns.Spec, error) {
	dir, err := os.Getwd()
	if err != nil {
		return netns.Spec{}, err
	}
	s := netns.Spec{Argv: o.argv, Dir: dir, Nested: o.nested, Stdin: o.stdin, Stdout: o.stdout, Stderr: o.stderr}
	if s.Home, err = os.UserHomeDir(); err != nil || !filepath.IsAbs(s.Home) || s.Home == "/" {
		s.Home = "/home/sandbox"
	}
	if s.UID, s.GID, err = workloadUser(o.user); err != nil {
		return s, err
	}
	var at trusted
	if !o.noCA {
		if at, err = trustCA(&s, ca); err != nil {
			return s, err
		}
	}
	if s.Env, err = environment(os.Environ(), o.env, o.envAll, o.secretVars, at); err != nil {
		return s, err
	}
	if !slices.ContainsFunc(s.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		s.Env = append(s.Env, "HOME="+s.Home)
	}
	for _, m := range o.mounts {
		mt, err := parseMount(m)
		if err != nil {
			return s, err
		}
		s.Mounts = append(s.Mounts, mt)
	}
	if s.Hide, err = o.hide(); err != nil {
		return s, err
	}
	shown := []string{s.Dir}
	for _, m := range s.Mounts {
		shown = append(shown, m.Source)
	}
	named := append([]string{o.auditDir}, o.secretFiles...)
	if o.policyDir != "" {
		named = append(named, o.policyDir)
	}
	if exe, err := os.Executable(); err == nil {
		s.Keep = append(s.Keep, exe)
	}
	return s, keptOut(named, shown)
}

// trustCA makes the CA trusted inside: where the system looks, where Chromium
// does, and where Java does if there is one.
func trustCA(s *netns.Spec, ca []byte) (trusted, error) {
	at := trusted{bundle: netns.BundleFile, ca: netns.CAFile}
	s.CA = ca
	nss, err := trust.NSS(ca)
	if err != nil {
		return at, fmt.Errorf("a store for NSS: %w", err)
	}
	s.HomeFiles = map[string][]byte{filepath.Join(".pki", "nssdb", trust.NSSFile): nss}
	if _, err := exec.LookPath("java"); err == nil {
		s.JavaStore = func() ([]byte, error) { return trust.Java(netns.Bundle(ca)) }
		at.java = netns.JavaStoreFile
	}
	return at, nil
}

// hide are the paths that no sandbox sees, wherever they are.
func (o *runOptions) hide() ([]string, error) {
	out := []string{o.auditDir}
	if s, err := stateDir(); err == nil {
		out = append(out, s)
	}
	if o.policyDir != "" {
		p, err := filepath.Abs(o.policyDir)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return append(out, o.secretFiles...), nil
}

// keptOut refuses names of what no sandbox sees that lead through a link in a
// directory which is shown: the command could replace it, or what it leads to
// after a rotation would show.
func keptOut(paths, shown []string) error {
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		for at := abs; at != "/"; at = filepath.Dir(at) {
			st, err := os.Lstat(at)
			if err != nil || st.Mode()&os.ModeSymlink == 0 {
				continue
			}
			dir, err := filepath.EvalSymlinks(filepath.Dir(at))
			if err != nil {
				return err
			}
			for _, w := range shown {
				if real, err := filepath.EvalSymlinks(w); err == nil && (dir == real || strings.HasPrefix(dir, real+"/")) {
					return fmt.Errorf("%s leads through the link %s, which the command sees and could replace: name what it leads to", p, at)
				}
			}
		}
	}
	return nil
}

// parseMount reads PATH[:TARGET][:rw].
func parseMount(s string) (netns.Mount, error) {
	parts := strings.Split(s, ":")
	var m netns.Mount
	if n := len(parts); n > 1 && (parts[n-1] == "rw" || parts[n-1] == "ro") {
		m.Writable = parts[n-1] == "rw"
		parts = parts[:n-1]
	}
	if len(parts) > 2 || parts[0] == "" {
		return m, fmt.Errorf("--mount %q: expected PATH[:TARGET][:rw]", s)
	}
	src, err := filepath.Abs(parts[0])
	if err != nil {
		return m, err
	}
	if m.Source, err = filepath.EvalSymlinks(src); err != nil {
		return m, fmt.Errorf("--mount %q: %w", s, err)
	}
	m.Target = src
	if len(parts) == 2 {
		m.Target = filepath.Clean(parts[1])
	}
	if !filepath.IsAbs(m.Target) || m.Target == "/" || strings.HasPrefix(m.Target+"/", "/proc/") || strings.HasPrefix(m.Target+"/", "/dev/") || strings.HasPrefix(m.Target+"/", "/sys/") {
		return m, fmt.Errorf("--mount %q: nothing can be mounted at %s", s, m.Target)
	}
	return m, nil
}

// nobody is whose a workload is when root starts it and says nothing else.
const nobody = 65534

// workloadUser is the host's user that the workload runs as.
func workloadUser(flag string) (uid, gid int, err error) {
	if os.Getuid() != 0 {
		if flag != "" {
			return 0, 0, errors.New("--user: only root can choose; the command runs as you")
		}
		return os.Getuid(), os.Getgid(), nil
	}
	if flag == "" {
		return nobody, nobody, nil
	}
	u, g, hasGroup := strings.Cut(flag, ":")
	if uid, err = strconv.Atoi(u); err != nil {
		who, lerr := user.Lookup(u)
		if lerr != nil {
			return 0, 0, fmt.Errorf("--user %q: expected UID[:GID] or a user's name", flag)
		}
		uid, _ = strconv.Atoi(who.Uid)
		gid, _ = strconv.Atoi(who.Gid)
	} else {
		gid = uid
	}
	if hasGroup {
		if gid, err = strconv.Atoi(g); err != nil {
			return 0, 0, fmt.Errorf("--user %q: the group is not a number", flag)
		}
	}
	if uid <= 0 || gid <= 0 {
		return 0, 0, fmt.Errorf("--user %q: a sandbox is never root on the host", flag)
	}
	return uid, gid, nil
}

var _ proxy.Decider = (*rego.Policy)(nil)
