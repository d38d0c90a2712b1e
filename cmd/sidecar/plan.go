package sidecar

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"regexp"

	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/policies"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/proxy/resolve"
	"sallyport/sandbox"
)

// A plan is what a configuration comes to: compiled, opened and checked. It is
// not changed.
type plan struct {
	file         *config.File
	policies     map[string]*rego.Policy // those that are fetched only once there is a good one
	feeds        map[string]*feed        // those that are fetched
	def          []string
	store        *credentials.Store
	sources      *credentials.Lease // of those in store that are held
	names        []string           // of credentials
	credentialed []credentials.Binding
	roots        *x509.CertPool
	trusted      string // digests of what roots are beside the system's
	allowPrivate []netip.Prefix
	resolve      map[dest.Host]netip.Addr
	servers      *resolve.Resolver // name servers that are asked; nil leaves the system's
	reach        *proxy.Reach
	limits       sandbox.Limits // of a sandbox that has none of its own
	remote       remote         // the control API over TCP
	sandboxes    []planned
	sinks        []*terms.Sink
	caFiles      []string          // that get the CA
	watched      []string          // files and directories that it was made of
	seen         [sha256.Size]byte // of those, before they were read
	decided      *decided
	shadows      *policy.Shadows // that ask candidates; nil asks none
}

// loadPlan reads a configuration and makes a plan of it.
func loadPlan(ctx context.Context, file string, held *credentials.Shared, fs *feeds) (*plan, error) {
	for range 3 {
		before := look([]string{file})
		p, err := draftPlan(ctx, file, held, fs, nil)
		if err != nil {
			return nil, err
		}
		if before == look([]string{file}) {
			return p, nil
		}
		p.close()
	}
	return nil, fmt.Errorf("%s changes while it is read", file)
}

// close gives up what nobody else may use. What still needs the plan's own secrets
// has them.
func (p *plan) close() { _ = p.sources.Close() }

// newPlan says everything that is wrong, at its place in the file.
func newPlan(ctx context.Context, file string, f *config.File, held *credentials.Shared, fs *feeds) (*plan, error) {
	return planOf(ctx, file, f, &config.Problems{File: file}, held, fs, nil)
}

// draftPlan makes a plan of a file, as far as that can be read, or says everything that
// is wrong; more looks at what else may be.
func draftPlan(ctx context.Context, file string, held *credentials.Shared, fs *feeds, more func(*config.Problems, *plan)) (*plan, error) {
	f, form, err := config.Draft(file)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, form.Err()
	}
	form.Formed()
	return planOf(ctx, file, f, form, held, fs, more)
}

func planOf(ctx context.Context, file string, f *config.File, bad *config.Problems, held *credentials.Shared, fs *feeds, more func(*config.Problems, *plan)) (_ *plan, err error) {
	p := &plan{file: f, policies: map[string]*rego.Policy{}, feeds: map[string]*feed{}, resolve: map[dest.Host]netip.Addr{}, watched: []string{file}, decided: &decided{}, sources: held.Lease()}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	rel := beside(file)
	left(bad, file, f)
	if err := withheld(file, f); err != nil { // before it fails in other words
		return nil, err
	}
	for _, c := range f.Policies {
		if c.Dir.S != "" {
			p.watched = append(p.watched, rel(c.Dir.S))
		}
	}
	for _, t := range f.Network.UpstreamCA {
		p.watched = append(p.watched, rel(t.S))
	}
	p.seen = look(p.watched)
	p.load(ctx, bad, rel, fs)
	p.candidates(bad)
	if len(f.Policies) == 0 { // nothing passes
		pol, err := rego.Load(ctx, rego.Options{Name: "default", FS: policies.Default, Data: map[string]any{"run": (&terms.Grants{}).Data(nil, sandbox.Enforce)}})
		if err != nil {
			return nil, err
		}
		p.policies["default"] = pol
	}
	p.def = p.named(bad, "default_policy", f.DefaultPolicy)
	if len(f.DefaultPolicy) == 0 {
		if p.has("default") {
			p.def = []string{"default"}
		} else {
			bad.Add(config.Pos{}, "default_policy", "it is missing: name the policies of a sandbox that names none, or call one policy default")
		}
	}
	p.credentials(ctx, bad, rel)
	p.afford(bad, fs)
	p.network(bad, rel)
	p.reaching(bad, rel)
	p.limits = terms.LimitsIn(bad, "limits", f.Limits)
	for i := range f.Sandboxes {
		p.sandbox(bad, i, rel)
	}
	p.apart(bad)
	p.caFiles = caFiles(bad, f)
	p.readSinks(bad, rel)
	p.remote = p.readRemote(bad, f.Control.Listen, rel)
	if more != nil {
		more(bad, p)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// named returns the names of policies, each of which there is.
func (p *plan) named(bad *config.Problems, key string, names []config.Text) (out []string) {
	for i, n := range names {
		if !p.has(n.S) {
			bad.Add(n.Pos, fmt.Sprintf("%s[%d]", key, i), "there is no policy %q, or it is not taken", n.S)
			continue
		}
		out = append(out, n.S)
	}
	return out
}

func (p *plan) credentials(ctx context.Context, bad *config.Problems, rel func(string) string) {
	var bindings []credentials.Binding
	sources := &terms.Sources{Bad: bad, Rel: rel, Held: p.sources, State: p.file.State.S, Runner: runner(), UID: os.Geteuid()}
	if a := account(&config.Problems{}, p.file); a != nil {
		sources.UID = a.UID // of whom serve becomes
	}
	for i, c := range p.file.Credentials {
		key := fmt.Sprintf("credentials[%d]", i)
		b, ok := sources.Credential(key, c)
		if !ok {
			continue
		}
		bindings, p.names = append(bindings, b), append(p.names, b.Name)
	}
	store, err := credentials.New(ctx, bindings)
	if err != nil {
		at := config.Pos{}
		if len(p.file.Credentials) > 0 {
			at = p.file.Credentials[0].Name.Pos
		}
		bad.Add(at, "credentials", "%v", err)
	}
	p.store, p.credentialed = store, bindings
}

func (p *plan) network(bad *config.Problems, rel func(string) string) {
	n := p.file.Network
	for i, t := range n.AllowPrivate {
		x, err := terms.ParsePrefix(t.S)
		if err != nil {
			bad.Add(t.Pos, fmt.Sprintf("network.allow_private[%d]", i), "%v", err)
			continue
		}
		p.allowPrivate = append(p.allowPrivate, x)
	}
	var files []string
	for _, t := range n.UpstreamCA {
		files = append(files, rel(t.S))
	}
	for _, f := range files { // whose content needs a restart as well
		if b, err := os.ReadFile(f); err == nil {
			p.trusted += fmt.Sprintf("%x ", sha256.Sum256(b))
		}
	}
	if len(files) > 0 {
		roots, err := terms.ParseRoots(files)
		if err != nil {
			bad.Add(n.UpstreamCA[0].Pos, "network.upstream_ca", "%v", err)
		}
		p.roots = roots
	}
	for _, kv := range n.Resolve {
		h, a, err := terms.ParseResolve(kv.Key.S, kv.Value.S)
		if err != nil {
			bad.Add(kv.Key.Pos, "network.resolve."+kv.Key.S, "%v", err)
			continue
		}
		p.resolve[h] = a
	}
}

// fixed reports what differs from another plan and cannot be changed while serve
// runs.
func (p *plan) fixed(old *plan) (out []string) {
	for _, c := range []struct {
		key  string
		a, b any
	}{{"state", p.file.State.S, old.file.State.S}, {"user", p.file.User.S, old.file.User.S}, {"confine", stripped(p.file.Confine), stripped(old.file.Confine)}, {"control", stripped(p.file.Control), stripped(old.file.Control)}, {"audit", stripped(p.file.Audit), stripped(old.file.Audit)}, {"network", stripped(p.file.Network) + p.trusted, stripped(old.file.Network) + old.trusted}, {"limits", p.limits, old.limits}} {
		if !reflect.DeepEqual(c.a, c.b) {
			out = append(out, c.key)
		}
	}
	return out
}

// saidOf is what is said, without its places.
func saidOf(v any) string {
	return placeOf.ReplaceAllString(fmt.Sprintf("%+v", v), "")
}

var placeOf = regexp.MustCompile(`Pos:\{Line:\d+ Col:\d+\}`)

// stripped is a part of a configuration without its places.
func stripped(v any) string {
	switch v := v.(type) {
	case config.Control:
		s := v.Socket.S + " " + v.Listen.Address.S
		for _, n := range append(v.Users, v.Groups...) {
			s += fmt.Sprint(" ", n.N)
		}
		return s + fmt.Sprint(len(v.Users))
	case config.Confine:
		s := ""
		for _, t := range v.Read {
			s += t.S + "\n"
		}
		return s
	case config.Audit:
		return fmt.Sprint(v.Dir.S, v.Segment.N, saidOf(v.Sinks))
	case config.Network:
		s := ""
		for _, t := range append(v.AllowPrivate, v.UpstreamCA...) {
			s += t.S + "\n"
		}
		for _, kv := range v.Resolve {
			s += kv.Key.S + "=" + kv.Value.S + "\n"
		}
		return s + fmt.Sprint(len(v.AllowPrivate))
	}
	return ""
}
