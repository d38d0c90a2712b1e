package main

import (
	"errors"

	"github.com/spf13/cobra"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/sandbox"
)

// asked is a sandbox as the flags of a command describe it.
type asked struct {
	name, mode                       string
	label, prop, policy, bind, limit []string
}

func (a *asked) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&a.policy, "policy", nil, "let the sidecar's policy `NAME` decide, outermost first (repeatable)")
	fl.StringVar(&a.mode, "mode", "", "`MODE` enforce, observe or sealed")
	fl.StringArrayVar(&a.label, "label", nil, "give the sandbox a label `KEY=VALUE` (repeatable)")
	fl.StringArrayVar(&a.prop, "prop", nil, "give the sandbox a property `KEY=VALUE`; VALUE may be JSON (repeatable)")
	fl.StringArrayVar(&a.limit, "limit", nil, "bound connections, requests, rate, tunnel_idle or tunnel_life: `KEY=N` (repeatable)")
	fl.StringArrayVar(&a.bind, "bind", nil, "make a name that exists only inside: `NAME=URL`, with what may follow:\n,credential=NAME ,ca=FILE ,server_name=NAME ,host=inside;\nor NAME:PORT=HOST:PORT (repeatable)")
}

// create is what the sidecar is asked for.
func (a *asked) create(way sandbox.Way) (c admin.Create, err error) {
	c = admin.Create{Name: a.name, Way: string(way), Policy: a.policy, Mode: a.mode}
	if a.name == "" {
		return c, errors.New("what is the sandbox called? Say --name NAME")
	}
	if c.Labels, err = parseLabels(a.label); err != nil {
		return c, err
	}
	if c.Props, err = parseProps(a.prop); err != nil {
		return c, err
	}
	p, err := terms.ParseLimits(a.limit)
	if err != nil {
		return c, err
	}
	l, _, err := terms.PatchedLimits(sandbox.Limits{}, p)
	if err != nil {
		return c, err
	}
	c.Limits = admin.Limits(l)
	var bound []sandbox.Binding
	for _, s := range a.bind {
		b, _, err := terms.ParseBindFlag(s)
		if err != nil {
			return c, err
		}
		bound = append(bound, b)
	}
	c.Bindings, err = terms.SaidBindings(bound)
	return c, err
}
