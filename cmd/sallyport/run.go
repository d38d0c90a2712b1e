package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/cmd/terms"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/proxy"
	"sallyport/proxy/resolve"
	"sallyport/sandbox"
)

// runOptions are the flags of run, parsed.
type runOptions struct {
	grants       terms.Grants
	allowPrivate []netip.Prefix
	policyDir    string
	policyFS     fs.FS // instead of policyDir
	presets      []string
	credentials  []credentials.Binding
	secretVars   []string
	secretFiles  []string
	labels       map[string]string
	props        map[string]any
	env          []string
	envAll       bool
	mounts       []string
	user         string
	nested       bool
	noCA         bool
	roots        *x509.CertPool
	resolve      map[dest.Host]netip.Addr
	servers      *resolve.Resolver // name servers that are asked; nil leaves the system's
	reach        proxy.Reach
	auditDir     string
	mode         sandbox.Mode
	name         string
	quiet        bool
	sidecar      string   // control socket; "" decides here
	policies     []string // of the sidecar, by name
	argv         []string

	stdin, stdout, stderr *os.File
}

// runFlags are the flags of run as they were written.
type runFlags struct {
	allow, tcp, preset, allowPrivate, credential, bind, label, prop, env, mount, upstreamCA, resolve, resolver, parent, noProxy []string
	policy, user, audit, mode, name, sidecar                                                                                    string
	envAll, nested, noCA, quiet                                                                                                 bool
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a command in a sandbox whose only way out is this proxy",
		Long: `run seals a namespace in which there is nothing but a loopback, starts the
command in it, and answers for every connection that it makes. Nothing is
allowed unless a flag or a policy says so.

Exit codes: the command's own; 125 sallyport failed, 126 the command could not
be executed, 127 it was not found, 128+n it was ended by signal n.`,
		Example: `  # nothing leaves; every attempt is recorded
  sallyport run -- ./build.sh

  # one host over HTTP and HTTPS, another by raw TCP
  sallyport run --allow '*.example.com' --tcp db.example.com:5432 -- ./job

  # packages from npm and PyPI, and repositories to clone; nothing to publish or push
  sallyport run --preset npm,pypi,git -- ./install.sh

  # the code calls the API without a token; the token is added outside
  sallyport run --allow api.github.com \
    --credential github=env:GITHUB_TOKEN@https://api.github.com -- curl -sS https://api.github.com/user

  # a policy in Rego instead of flags
  sallyport run --policy ./policy --label team=web -- npm test

  # decided by a sidecar that stands beside many sandboxes
  sallyport run --sidecar /run/sallyport/control.sock --name build --policy web -- make

  # nothing exists but one name
  sallyport run --mode sealed --bind orders.internal=https://10.2.3.4:8443,ca=corp.pem,server_name=orders.corp -- ./agent`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("run: which command? Write it behind --, such as: sallyport run --allow example.com -- curl https://example.com/")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.parse(args)
			if err != nil {
				return err
			}
			if o.sidecar != "" {
				return runEnrolled(cmd.Context(), o)
			}
			return runSandbox(cmd.Context(), o)
		},
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.StringArrayVar(&f.allow, "allow", nil, "allow HTTP to `HOST[:PORT]`, or to what is below *.HOST (repeatable)")
	fl.StringArrayVar(&f.tcp, "tcp", nil, "allow raw TCP to `HOST:PORT` (repeatable)")
	fl.StringSliceVar(&f.preset, "preset", nil, "allow what `NAME` is used for, and no more: "+presetNames()+" (repeatable, or with commas)")
	fl.StringArrayVar(&f.allowPrivate, "allow-private", nil, "let names lead to addresses in `CIDR` that are not public (repeatable)")
	fl.StringVar(&f.policy, "policy", "", "decide with the Rego in `DIR`, or in a bundle (.tar.gz), instead of the flags above")
	fl.StringArrayVar(&f.credential, "credential", nil, "put a secret on requests: `NAME=SOURCE@https://HOST`[:PORT], where SOURCE is env:VARIABLE or file:PATH,\nand ,as=bearer ,as=basic:USER ,as=header:NAME ,as=query:NAME ,as=cookie:NAME ,as=json:/POINTER\n,as=form:NAME or ,as=sigv4:SERVICE:REGION:ACCESS_KEY_ID may follow, and ,placeholder=VARIABLE ,shape=TEXT{N}\n,client_value=strip|require_placeholder|reject (repeatable)")
	fl.StringArrayVar(&f.bind, "bind", nil, "make a name that exists only inside: `NAME=URL`, with what may follow:\n,credential=NAME ,ca=FILE ,server_name=NAME ,cert=FILE,key=FILE ,host=inside;\nor NAME=tcp://HOST:PORT, which is NAME:PORT=HOST:PORT, for raw TCP (repeatable)")
	fl.StringArrayVar(&f.label, "label", nil, "give the sandbox a label `KEY=VALUE` that the policy sees (repeatable)")
	fl.StringArrayVar(&f.prop, "prop", nil, "give the sandbox a property `KEY=VALUE`; VALUE may be JSON (repeatable)")
	fl.StringArrayVar(&f.env, "env", nil, "hand in a variable `NAME[=VALUE]` (repeatable)")
	fl.BoolVar(&f.envAll, "env-all", false, "hand in all variables but those that a credential is read from")
	fl.StringArrayVar(&f.mount, "mount", nil, "show `PATH[:TARGET][:rw]` inside, read-only unless it says rw (repeatable)")
	fl.StringVar(&f.user, "user", "", "as root: run the command as `UID[:GID]` (default 65534)")
	fl.BoolVar(&f.nested, "nested", false, "let the command make user and network namespaces of its own")
	fl.BoolVar(&f.noCA, "no-ca", false, "do not make the command trust the CA that opens its TLS")
	fl.StringArrayVar(&f.upstreamCA, "upstream-ca", nil, "trust the certificates in `FILE` when verifying upstreams, beside the system's (repeatable)")
	fl.StringArrayVar(&f.resolve, "resolve", nil, "use this address for a name: `HOST=ADDRESS` (repeatable)")
	fl.StringArrayVar(&f.resolver, "resolver", nil, "ask the name server at `URL` in place of the system's, in the order given: udp://ADDRESS[:PORT],\ntcp://ADDRESS, tls://ADDRESS#NAME or https://HOST/dns-query, of which ,ca=FILE may follow (repeatable)")
	fl.StringArrayVar(&f.parent, "parent", nil, "connect through the proxy at `URL`: http://HOST:PORT, https://HOST or socks5://HOST, with what may follow:\n,match=HOST ,login=env:VARIABLE ,resolve=parent ,credentials ,ca=FILE (repeatable)")
	fl.StringArrayVar(&f.noProxy, "no-proxy", nil, "connect to `HOST[:PORT]` or *.HOST without a --parent (repeatable)")
	fl.StringVar(&f.audit, "audit", "", "keep the records in `DIR` (default: one directory per run in the state directory)")
	fl.StringVar(&f.mode, "mode", "enforce", "`MODE` enforce; observe: record what would be refused by default and let it pass;\nsealed: nothing exists but what --bind names")
	fl.StringVar(&f.name, "name", "", "call the sandbox `NAME` in records")
	fl.StringVar(&f.sidecar, "sidecar", "", "let the sidecar at this control `SOCKET` decide; --policy then names its policies, with commas between them")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no summary at the end")
	return cmd
}

// parse reads the flags and says everything that is wrong with them at once.
func (f *runFlags) parse(argv []string) (*runOptions, error) {
	o := &runOptions{policyDir: f.policy, env: f.env, envAll: f.envAll, mounts: f.mount, user: f.user, nested: f.nested,
		noCA: f.noCA, auditDir: f.audit, name: f.name, quiet: f.quiet, argv: argv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, resolve: map[dest.Host]netip.Addr{}}
	var errs []error
	add := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	for _, s := range f.allow {
		p, err := dest.ParsePattern(s)
		if err != nil {
			err = wrongHost("--allow", s, err, "HOST[:PORT] or *.HOST[:PORT]")
		}
		if add(err) {
			o.grants.Allow = append(o.grants.Allow, p)
		}
	}
	for _, s := range f.tcp {
		a, err := dest.ParseAddr(s)
		if err != nil {
			err = wrongHost("--tcp", s, err, "HOST:PORT")
		}
		if add(err) {
			o.grants.TCP = append(o.grants.TCP, a)
		}
	}
	for _, s := range f.bind {
		b, key, err := terms.ParseBindFlag(s)
		if err == nil && slices.ContainsFunc(o.grants.Bind, func(x sandbox.Binding) bool { return x.Host == b.Host && x.Port == b.Port }) {
			err = fmt.Errorf("--bind %q: the name is bound already", s)
		}
		if add(err) {
			o.grants.Bind = append(o.grants.Bind, b)
			if key != "" { // not shown inside
				path, err := filepath.Abs(key)
				add(err)
				o.secretFiles = append(o.secretFiles, path)
			}
		}
	}
	for _, s := range f.allowPrivate {
		p, err := terms.ParsePrefix(s)
		if err != nil {
			err = fmt.Errorf("--allow-private %w", err)
		}
		if add(err) {
			o.allowPrivate = append(o.allowPrivate, p)
		}
	}
	for _, s := range f.resolve {
		name, address, ok := strings.Cut(s, "=")
		h, a, err := terms.ParseResolve(name, address)
		if err != nil || !ok {
			err = fmt.Errorf("--resolve %q: expected HOST=ADDRESS, such as api.example.com=192.0.2.7", s)
		}
		if _, twice := o.resolve[h]; err == nil && twice {
			err = fmt.Errorf("--resolve %q: the name has an address already", s)
		}
		if add(err) {
			o.resolve[h] = a
		}
	}
	for _, s := range f.credential {
		b, err := terms.ParseCredential(s)
		if add(err) {
			o.credentials = append(o.credentials, b.Binding)
			if b.Variable != "" {
				o.secretVars = append(o.secretVars, b.Variable)
			}
			if b.Path != "" {
				o.secretFiles = append(o.secretFiles, b.Path)
			}
		}
	}
	for _, err := range o.reaching(f) {
		add(err)
	}
	var err error
	o.labels, err = parseLabels(f.label)
	add(err)
	o.props, err = parseProps(f.prop)
	add(err)
	if len(f.upstreamCA) > 0 {
		if o.roots, err = terms.ParseRoots(f.upstreamCA); err != nil {
			add(fmt.Errorf("--upstream-ca: %w", err))
		}
	}
	switch o.mode = sandbox.Mode(f.mode); o.mode {
	case sandbox.Enforce, sandbox.Observe, sandbox.Sealed:
	default:
		add(fmt.Errorf("--mode %q: expected enforce, observe or sealed", f.mode))
	}
	if f.sidecar != "" {
		o.sidecar, o.policyDir = f.sidecar, ""
		if f.policy != "" {
			o.policies = strings.Split(f.policy, ",")
		}
		if foreign := f.foreign(); len(foreign) > 0 {
			slices.Sort(foreign)
			add(fmt.Errorf("%s: with --sidecar that is said in the sidecar's configuration", strings.Join(foreign, ", ")))
		}
		_, err := terms.SaidBindings(o.grants.Bind)
		add(err)
		return o, errors.Join(errs...)
	}
	for _, b := range o.grants.Bind {
		if err := terms.Covered(b, o.credentials); err != nil {
			name, _ := terms.BindingText(b)
			add(fmt.Errorf("--bind %s: %w", name, err))
		}
	}
	for _, err := range o.preset(f) {
		add(err)
	}
	if f.policy != "" && (len(f.allow) > 0 || len(f.tcp) > 0) {
		add(errors.New("--allow and --tcp add to the default policy; with --policy say it in Rego"))
	}
	if o.mode == sandbox.Sealed && (len(f.allow) > 0 || len(f.tcp) > 0) {
		add(errors.New("--mode sealed: nothing exists but bindings; --allow and --tcp have no place in it"))
	}
	return o, errors.Join(errs...)
}

// wrongHost says what a flag expects in place of what stands there.
func wrongHost(flag, s string, err error, form string) error {
	if hint := terms.HostHint(s); hint != "" {
		return fmt.Errorf("%s %q: %s", flag, s, hint)
	}
	return fmt.Errorf("%s %q: %w; expected %s", flag, s, err, form)
}

func parseLabels(in []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range in {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--label %q: expected KEY=VALUE", s)
		}
		if _, twice := out[k]; twice {
			return nil, fmt.Errorf("--label %s is given twice", k)
		}
		out[k] = v
	}
	return out, nil
}

// stopWithin is how long a run waits for what is under way when its command is done.
const stopWithin = 2 * time.Second

// credentialGrants are the places where the default policy asks for a credential:
// where it is bound, under the name by which that is known inside.
func (o *runOptions) credentialGrants() []terms.CredentialGrant {
	var out []terms.CredentialGrant
	for _, c := range o.credentials {
		out = append(out, terms.CredentialGrant{Name: c.Name, Host: c.Host, Port: c.Port})
		for _, b := range o.grants.Bind {
			if b.TargetScheme == c.Scheme && b.Target == dest.NewAddr(c.Host, c.Port) {
				ports := []uint16{b.Port}
				if b.Port == 0 {
					ports = []uint16{80, 443}
				}
				for _, p := range ports {
					out = append(out, terms.CredentialGrant{Name: c.Name, Host: b.Host, Port: p})
				}
			}
		}
	}
	return slices.Compact(out)
}
