package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/proxy"
	"sallyport/sandbox"
)

// codeNoAnswer is what policy eval exits with when there is no decision.
const codeNoAnswer = 2

func policyEvalCommand() *cobra.Command {
	e := &evaluation{}
	cmd := &cobra.Command{
		Use:   "eval DIR|BUNDLE [METHOD] URL | eval DIR|BUNDLE -- curl …",
		Short: "Ask a policy about one request, offline",
		Long: `eval makes of a request what the proxy would ask the policy about it, and says what the policy decides, by which rules.
Nothing is sent, and no name is looked up. A URL tcp://HOST:PORT asks about a connection that carries bytes. Behind -- a
command line of curl is taken as it is. With --trace, each rule that did not hold is shown with the condition at which it
ended and what the condition saw. The exit code is 0 when it is allowed, 1 when it is not, and 2 when there is no answer.`,
		Example: `  sallyport policy eval ./policy GET https://api.github.com/repos/x/y -H 'accept: application/json' --label team=web --prop tenant_id=t1
  sallyport policy eval ./policy --trace -- curl -X POST https://api.example.com/v1/items -d '{"name": "a"}' -H 'content-type: application/json'
  sallyport policy eval ./policy tcp://db.example.com:5432`,
		Args: cobra.MinimumNArgs(2),
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&e.header, "header", "H", nil, "a header field `'NAME: VALUE'` (repeatable)")
	fl.StringVarP(&e.data, "data", "d", "", "the body, or `@FILE`, or @- for standard input")
	fl.StringVar(&e.name, "name", "sandbox", "what the sandbox is called: `NAME`")
	fl.StringArrayVar(&e.label, "label", nil, "a label of the sandbox `KEY=VALUE` (repeatable)")
	fl.StringArrayVar(&e.prop, "prop", nil, "a property of the sandbox `KEY=VALUE`; VALUE may be JSON (repeatable)")
	fl.StringArrayVar(&e.address, "address", nil, "an address of the destination, to ask egress.dial about: `IP` (repeatable)")
	fl.BoolVar(&e.h2, "http2", false, "as if it came by HTTP/2")
	fl.BoolVar(&e.trace, "trace", false, "show why each rule that did not hold did not")
	fl.BoolVar(&e.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := e.run(cmd.Context(), args, cmd.ArgsLenAtDash(), cmd.InOrStdin())
		if err != nil {
			return &exitError{code: codeNoAnswer, err: err}
		}
		if e.json {
			err = printJSON(cmd.OutOrStdout(), v)
		} else {
			v.print(cmd.OutOrStdout())
		}
		if err == nil && v.Decision != "allow" {
			return &exitError{code: 1}
		}
		return err
	}
	return cmd
}

type evaluation struct {
	header, label, prop, address []string
	data, name                   string
	h2, trace, json              bool
}

// run asks a policy in each phase that can be asked offline, in order.
func (e *evaluation) run(ctx context.Context, args []string, dash int, stdin io.Reader) (*verdict, error) {
	p, err := rego.Load(ctx, rego.Options{Name: args[0], Dir: args[0], Uncached: true})
	if err != nil {
		return nil, err
	}
	sb, err := e.sandbox(p)
	if err != nil {
		return nil, err
	}
	s, err := e.tried(args[1:], dash, stdin)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s.url)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q: expected a URL such as https://api.example.com/v1/items or tcp://db.example.com:5432", s.url)
	}
	v := &verdict{Policy: p.Name(), Digest: p.Digest(), Request: s.method + " " + s.url, Decision: "deny", Phases: []answer{}}
	ask := func(q *policy.Question) (*policy.Decision, error) {
		d := p.Decide(ctx, q)
		a := answerOf(d)
		t, err := p.Trace(ctx, q)
		if err != nil && d.Err == nil {
			return nil, err
		}
		if t != nil {
			a.Rules = t.Held
			if e.trace {
				a.Failed = t.Failed
			}
		}
		v.Phases = append(v.Phases, a)
		return d, nil
	}
	if u.Scheme == "tcp" || u.Scheme == "https" && p.Has(policy.Connect) {
		q, err := connecting(sb, u)
		if err != nil {
			return nil, err
		}
		d, err := ask(q)
		if err != nil {
			return nil, err
		}
		granted := d.Granted() && d.Opaque
		if u.Scheme == "tcp" {
			v.Request = s.url
			v.conclude(d, granted)
			return v, nil
		}
		if granted {
			v.conclude(d, true)
			v.Note = "its TLS passes unread, so nothing else is asked"
			return v, nil
		}
	}
	var first *policy.Rewrite
	for { // once more after a rewrite
		d, err := e.request(ctx, p, sb, s, u, v, ask)
		if err != nil || d == nil || d.Rewrite == nil || !d.Granted() {
			return v, err
		}
		if first != nil {
			if *d.Rewrite != *first {
				v.Decision, v.Code, v.Public = "deny", "rewrite_again", "the policy rewrites what it has rewritten"
			}
			return v, nil
		}
		first = d.Rewrite
		if u, err = rewritten(u, d.Rewrite); err != nil {
			return nil, err
		}
		v.Note = "rewritten to " + u.String() + ", and judged again"
	}
}

// request asks about an HTTP request, and about the addresses that were said.
func (e *evaluation) request(ctx context.Context, p *rego.Policy, sb *sandbox.Sandbox, s *tried, u *url.URL, v *verdict, ask func(*policy.Question) (*policy.Decision, error)) (*policy.Decision, error) {
	r, err := http.NewRequestWithContext(ctx, s.method, u.String(), bytes.NewReader(s.body))
	if err != nil {
		return nil, err
	}
	r.Header = s.header.Clone()
	if s.h2 || e.h2 {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	}
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
		r.Header.Del("Host")
	}
	q, barred, err := proxy.QuestionOf(ctx, sb, p, r)
	var ref *proxy.Refusal
	switch {
	case errors.As(err, &ref):
		v.Decision, v.Code, v.Public, v.Note = "deny", ref.Code, ref.Public, "refused before the policy is asked, whatever it says"
		return nil, nil
	case err != nil:
		return nil, err
	}
	d, err := ask(q)
	if err != nil {
		return nil, err
	}
	granted := d.Granted() && (q.Destination.Protocol != "websocket" || d.WebSocket)
	v.conclude(d, granted || d.Respond != nil && d.Err == nil && len(d.Deny) == 0)
	if barred != nil && v.Decision == "allow" && d.Respond == nil && d.Rewrite == nil {
		v.Decision, v.Code, v.Public, v.Note = "deny", barred.Code, barred.Public, "refused whatever the policy says"
	}
	if d.Granted() && !granted {
		v.Code, v.Public = policy.CodeDefaultDeny, "websocket does not hold beside allow"
	}
	if len(e.address) == 0 || v.Decision != "allow" || !p.Has(policy.Dial) {
		return d, nil
	}
	at := *q
	at.Phase = policy.Dial
	for _, a := range e.address {
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("--address %q: expected an IP address", a)
		}
		at.Addresses = append(at.Addresses, ip)
	}
	dd, err := ask(&at)
	if err == nil && (dd.Err != nil || len(dd.Deny) > 0) {
		v.conclude(dd, false)
	}
	return d, err
}

// tried is the request of the arguments behind the directory.
func (e *evaluation) tried(args []string, dash int, stdin io.Reader) (*tried, error) {
	if dash == 1 || args[0] == "curl" {
		args = slices.Clone(args)
		if args[0] == "curl" {
			args = args[1:]
		}
		return parseCurl(args, stdin)
	}
	s := &tried{header: http.Header{}, method: http.MethodGet, url: args[0]}
	switch {
	case len(args) == 2:
		s.method, s.url = args[0], args[1]
	case len(args) > 2:
		return nil, fmt.Errorf("%q has no place here; expected METHOD URL, or a command line of curl behind --", args[2])
	}
	for _, h := range e.header {
		if err := addHeader(s.header, h); err != nil {
			return nil, err
		}
	}
	if e.data != "" {
		text, err := curlData("--data-binary", e.data, stdin)
		if err != nil {
			return nil, err
		}
		s.body = []byte(text)
		if json.Valid(s.body) {
			preset(s.header, "Content-Type", "application/json")
		}
		if len(args) == 1 {
			s.method = http.MethodPost
		}
	}
	return s, nil
}

func (e *evaluation) sandbox(p *rego.Policy) (*sandbox.Sandbox, error) {
	labels, err := parseLabels(e.label)
	if err != nil {
		return nil, err
	}
	props, err := parseProps(e.prop)
	if err != nil {
		return nil, err
	}
	for _, k := range p.RequiresProps() {
		if _, ok := props[k]; !ok {
			return nil, fmt.Errorf("the policy needs a property of the sandbox: --prop %s=VALUE", k)
		}
	}
	return &sandbox.Sandbox{ID: "00000000-0000-7000-8000-000000000000", Name: e.name, Labels: labels, Props: props, Identity: sandbox.Identity{Way: sandbox.WayRun}}, nil
}

// connecting is what is asked about a connection before anything is read of it.
func connecting(sb *sandbox.Sandbox, u *url.URL) (*policy.Question, error) {
	q := &policy.Question{Phase: policy.Connect, Sandbox: sb, Destination: policy.Destination{Protocol: "tcp"}}
	a, err := dest.ParseAddr(u.Host)
	if u.Scheme == "https" {
		a, err = dest.ParseAuthority(u.Host, 443)
		q.Destination.Protocol = "tls"
		if _, ip := a.Host().Addr(); !ip {
			q.Destination.SNI = a.Host().String()
		}
	}
	q.Destination.Addr = a
	return q, err
}

// rewritten is where a rewrite leads; its path is raw, and may have a query.
func rewritten(u *url.URL, rw *policy.Rewrite) (*url.URL, error) {
	scheme, host, path := u.Scheme, u.Host, u.RequestURI()
	if rw.Scheme != "" {
		scheme = rw.Scheme
	}
	if rw.Host != "" {
		host = rw.Host
	}
	if rw.Path != "" {
		path = rw.Path
	}
	return url.Parse(scheme + "://" + host + path)
}
