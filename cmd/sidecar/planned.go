package sidecar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/google/uuid"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/sandbox"
)

// planned is a sandbox of the configuration.
type planned struct {
	sandbox.Sandbox
	pos    config.Pos
	usual  bool   // it names no policy: the default ones decide
	socket string // of its explicit proxy; "" has none
	owner  int    // user id of the socket; -1 is whoever runs serve
	door   doorway

	planned   string // its name
	enrolDir  string // where it enrols; "" does not
	enrolUser int    // who may, beside root and whoever runs serve
}

func (p *plan) sandbox(bad *config.Problems, i int, rel func(string) string) {
	c := p.file.Sandboxes[i]
	key := fmt.Sprintf("sandboxes[%d]", i)
	out := planned{pos: c.Name.Pos, socket: c.Explicit.Socket.S, owner: -1}
	if c.Explicit.User.Set {
		out.owner = int(c.Explicit.User.N)
	}
	out.planned, out.enrolDir, out.enrolUser = c.Name.S, c.Enrol.Dir.S, os.Getuid()
	if c.Enrol.User.Set {
		out.enrolUser = int(c.Enrol.User.N)
	}
	for j := range i {
		if p.file.Sandboxes[j].Name.S == c.Name.S {
			bad.Add(c.Name.Pos, key+".name", "there are two sandboxes %q", c.Name.S)
		}
	}
	labels := map[string]string{}
	for _, kv := range c.Labels {
		labels[kv.Key.S] = kv.Value.S
	}
	bindings, vias := p.bound(bad, key, c.Bindings, rel), p.vias(bad, key, c.Via, rel)
	out.door = p.doorway(bad, key, c.Explicit, rel)
	named := p.named(bad, key+".policy", c.Policy)
	sb, err := p.describe(c.Name.S, labels, c.Props.V, named, c.Mode.S, nil)
	if err != nil {
		bad.Add(c.Name.Pos, key, "%v", err)
		return
	}
	sb.Limits = terms.LimitsIn(bad, key+".limits", c.Limits)
	sb.Bindings, sb.Vias, sb.Identity.Way = bindings, vias, p.wayOf(bad, key, c)
	out.Sandbox, out.usual = *sb, len(c.Policy) == 0
	p.sandboxes = append(p.sandboxes, out)
}

// wayOf is how a sandbox of the configuration comes in.
func (p *plan) wayOf(bad *config.Problems, key string, c config.Sandbox) sandbox.Way {
	e := c.Enrol
	switch {
	case e.Dir.S == "" && (e.Way.S != "" || e.User.Set):
		bad.Add(c.Name.Pos, key+".enrol.dir", "it is missing: the directory in which the socket and the token are made")
	case e.Dir.S == "":
		return ""
	case c.Explicit.Socket.S != "" || c.Explicit.Listen.S != "":
		bad.Add(e.Dir.Pos, key+".enrol", "a sandbox has one way in: enrol or explicit")
	case !filepath.IsAbs(e.Dir.S):
		bad.Add(e.Dir.Pos, key+".enrol.dir", "%q is not an absolute path", e.Dir.S)
	}
	for j, x := range p.sandboxes {
		if x.enrolDir == e.Dir.S {
			bad.Add(e.Dir.Pos, key+".enrol.dir", "it is that of sandboxes[%d], too: each has its own", j)
		}
	}
	switch w := sandbox.Way(e.Way.S); w {
	case "":
		return sandbox.WayJoin
	case sandbox.WayJoin, sandbox.WayAttach, sandbox.WayGateway:
		return w
	}
	bad.Add(e.Way.Pos, key+".enrol.way", "%q: expected join, attach or gateway", e.Way.S)
	return ""
}

// describe makes a sandbox of what was said of it, or says what is wrong.
func (p *plan) describe(name string, labels map[string]string, props map[string]any, named []string, mode string, bindings map[string]admin.Binding) (*sandbox.Sandbox, error) {
	sb := &sandbox.Sandbox{Name: name, Labels: labels, Props: props, Policy: named, Mode: sandbox.Mode(mode)}
	var errs []error
	if len(name) == 0 || len(name) > 128 || !plainName(name) {
		errs = append(errs, fmt.Errorf("the name %q is not one: letters, digits, hyphens, dots and underscores, at most 128", name))
	}
	if uuid.Validate(name) == nil { // commands name a sandbox by either
		errs = append(errs, fmt.Errorf("the name %q looks like an id, which could be another sandbox's", name))
	}
	errs = append(errs, fits(labels, props)...)
	if sb.Mode == "" {
		sb.Mode = sandbox.Enforce
	}
	switch sb.Mode {
	case sandbox.Enforce, sandbox.Observe, sandbox.Sealed:
	default:
		errs = append(errs, fmt.Errorf("mode %q: expected enforce, observe or sealed", mode))
	}
	if len(sb.Policy) == 0 {
		sb.Policy = p.def
	}
	bound, wrong := p.described(bindings)
	sb.Bindings, errs = bound, append(errs, wrong...)
	for _, n := range sb.Policy {
		pol := p.policies[n]
		if !p.has(n) {
			errs = append(errs, fmt.Errorf("there is no policy %q", n))
		}
		if pol == nil {
			continue
		}
		for _, k := range pol.RequiresProps() {
			if _, ok := props[k]; !ok {
				errs = append(errs, fmt.Errorf("policy %s needs the property %q: give it, as --prop %s=VALUE or in props", n, k, k))
			}
		}
	}
	return sb, errors.Join(errs...)
}

func plainName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s[0] != '.' && s[0] != '-'
}

// same reports whether nothing is said otherwise of a sandbox.
func (x *planned) same(y *planned) bool {
	a, b := *x, *y
	a.pos, b.pos = config.Pos{}, config.Pos{}
	a.door, b.door, a.Bindings, b.Bindings, a.Vias, b.Vias = doorway{}, doorway{}, nil, nil, nil, nil
	return reflect.DeepEqual(a, b) && x.door.is(&y.door) && x.SameWays(&y.Sandbox)
}

// way is how it comes in: when that changes it is another.
func (x *planned) way() [5]any {
	return [5]any{x.socket, x.owner, x.enrolDir, x.enrolUser, x.Identity.Way}
}
