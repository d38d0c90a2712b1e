package sidecar

import (
	"fmt"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/config"
	"sallyport/metrics"
	"sallyport/policy"
)

// Bounds of what is asked of candidates, and recorded of what they say.
const (
	shadowsWaiting = 1024
	shadowBurst    = 200
	shadowPer      = 10 // a second
)

// A shadowing compares what candidates say with what was decided.
type shadowing struct {
	ask     *policy.Shadows
	records metrics.Recorder
	meter   *metrics.Meter
	room    float64 // for records
	last    time.Time
	lost    int // differences that were not recorded
}

func newShadowing(records metrics.Recorder, meter *metrics.Meter) *shadowing {
	s := &shadowing{records: records, meter: meter, room: shadowBurst, last: time.Now()}
	s.ask = policy.NewShadows(shadowsWaiting, s.told, func(p, c string) { meter.Shadow(p, c, "dropped") })
	return s
}

// told counts an answer, and records one that is another than that of the policy.
func (s *shadowing) told(c policy.Compared) {
	was, wasCode := c.Was.Effect(c.Question)
	now, nowCode := c.Now.Effect(c.Question)
	kind, differs := "same", ""
	switch {
	case c.Unknown && now != "allow":
		kind = "undecidable"
	case passing(was) && !passing(now):
		kind = "denied"
	case !passing(was) && passing(now):
		kind = "allowed"
	case was != now || wasCode != nowCode:
		kind, differs = "changed", "effect or code"
	case passing(was):
		if d := c.Was.Differences(c.Now); len(d) > 0 {
			kind, differs = "changed", strings.Join(d, ", ")
		}
	}
	s.meter.Shadow(c.Policy, c.Candidate, kind)
	if kind == "same" || kind == "undecidable" {
		return
	}
	at := time.Now()
	s.room, s.last = min(shadowBurst, s.room+at.Sub(s.last).Seconds()*shadowPer), at
	if s.room < 1 {
		s.lost++
		return
	}
	s.room--
	ev := &audit.Event{Name: audit.PolicyShadow, Decision: &audit.Decision{Effect: now, Action: "none", Phase: string(c.Now.Phase), Code: nowCode, Policy: c.Candidate, Digest: c.Now.Digest, Input: c.Now.Input, Reads: c.Now.Reads, Steps: c.Now.Steps, Took: c.Now.Took},
		Lifecycle: &audit.Lifecycle{Lost: s.lost, Detail: map[string]string{"policy": c.Policy, "was": was, "was_code": wasCode, "kind": kind, "differs": differs}}}
	if r, refused := c.Now.Refusal(); refused {
		ev.Decision.Operator = r.Operator
	}
	if sb := c.Question.Sandbox; sb != nil {
		ev.Sandbox = audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}
	}
	if d := c.Question.DNS; d != nil {
		ev.DNS = &audit.DNS{Question: d.Name.String() + ".", Type: d.Type}
	} else {
		d := c.Question.Destination
		ev.Request = &audit.Request{Scheme: d.Scheme, Host: d.Addr.Host().String(), Port: d.Addr.Port(), Size: -1}
		if r := c.Question.Request; r != nil {
			ev.Request.Method, ev.Request.Path = r.Method, r.PathRaw
		}
	}
	if s.records.Append(ev) == nil {
		s.lost = 0
	}
}

func passing(effect string) bool { return effect == "allow" || effect == "respond" }

// candidates checks what policies name as their shadows.
func (p *plan) candidates(bad *config.Problems) {
	for i, c := range p.file.Policies {
		key := fmt.Sprintf("policies[%d].shadow", i)
		switch {
		case c.Shadow.S == "":
		case c.Shadow.S == c.Name.S:
			bad.Add(c.Shadow.Pos, key, "a policy is no shadow of itself: name another")
		case !p.has(c.Shadow.S) && !p.mentions(c.Shadow.S):
			bad.Add(c.Shadow.Pos, key, "there is no policy %q", c.Shadow.S)
		}
	}
}

// mentions reports whether the configuration has a policy of a name, even one that is
// wrong.
func (p *plan) mentions(name string) bool {
	for _, c := range p.file.Policies {
		if c.Name.S == name {
			return true
		}
	}
	return false
}

// shadowed is a policy with its candidate beside it, where it has one that is there.
func (p *plan) shadowed(name string, e policy.Engine) policy.Engine {
	for _, c := range p.file.Policies {
		if other := p.policies[c.Shadow.S]; c.Name.S == name && other != nil && p.shadows != nil {
			return p.shadows.Beside(e, name, other, c.Shadow.S)
		}
	}
	return e
}

// besides are the policies that have one as their shadow.
func (p *plan) besides(name string) (out []string) {
	for _, c := range p.file.Policies {
		if c.Shadow.S == name {
			out = append(out, c.Name.S)
		}
	}
	return out
}
