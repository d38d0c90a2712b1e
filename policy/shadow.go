package policy

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
)

// Shadows ask candidates what policies were asked, after those have decided and beside
// the traffic: nothing that a candidate does, and no time that it takes, has an effect.
type Shadows struct {
	told    func(Compared)
	dropped func(policy, candidate string)
	in      chan shadowed
	bodies  atomic.Int64 // questions in it that hold what a body came to
}

// maxBodies bounds those: what a body comes to takes some MiB at the most, and the
// exchange that was charged for it may have ended.
const maxBodies = 16

// A Compared is a question and what both said. Neither is to be changed.
type Compared struct {
	Policy, Candidate string
	Question          *Question
	Was, Now          *Decision
	// Unknown says that the candidate reads a body that the policy does not, so that it
	// was not there for it.
	Unknown bool
}

type shadowed struct {
	by      *beside
	q       *Question
	was     *Decision
	unknown bool
	body    bool // of bodies
}

// NewShadows keeps at most so many questions waiting. told is given each answer, by Run
// alone; dropped is told, from any goroutine, of a question for which there was no room.
func NewShadows(waiting int, told func(Compared), dropped func(policy, candidate string)) *Shadows {
	return &Shadows{told: told, dropped: dropped, in: make(chan shadowed, waiting)}
}

// Run asks candidates until ctx ends.
func (s *Shadows) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-s.in:
			if x.body {
				s.bodies.Add(-1)
			}
			s.told(Compared{x.by.name, x.by.candidate, x.q, x.was, x.by.other.Decide(ctx, x.q), x.unknown})
		}
	}
}

// Beside returns an engine that decides as e does, and has what it was asked asked of
// another later.
func (s *Shadows) Beside(e Engine, name string, other Engine, candidate string) Engine {
	return &beside{Engine: e, other: other, name: name, candidate: candidate, to: s}
}

type beside struct {
	Engine
	other           Engine
	name, candidate string
	to              *Shadows
}

// Decide answers as the engine does.
func (b *beside) Decide(ctx context.Context, q *Question) *Decision {
	d := b.Engine.Decide(ctx, q)
	if len(b.to.in) == cap(b.to.in) {
		b.to.dropped(b.name, b.candidate)
		return d
	}
	x := shadowed{b, b.still(q), d, b.lacks(q), false}
	if x.body = bodied(x.q); x.body && b.to.bodies.Add(1) > maxBodies {
		b.to.bodies.Add(-1)
		b.to.dropped(b.name, b.candidate)
		return d
	}
	select {
	case b.to.in <- x:
	default:
		if x.body {
			b.to.bodies.Add(-1)
		}
		b.to.dropped(b.name, b.candidate)
	}
	return d
}

// still is a question that nobody changes: whoever asked goes on to forward the
// request, and puts credentials on it.
func (b *beside) still(q *Question) *Question {
	out := *q
	out.Addresses = slices.Clone(q.Addresses)
	if r := q.Request; r != nil {
		c := *r
		c.Header, c.Query = nil, nil
		if b.other.Reads(q.Phase, "request", "headers") {
			c.Header = r.Header.Clone()
		}
		if b.other.Reads(q.Phase, "request", "query") {
			c.Query = maps.Clone(r.Query)
		}
		if !slices.ContainsFunc([]string{"body", "form", "multipart", "graphql", "rpc"}, func(v string) bool { return b.other.Reads(q.Phase, "request", v) }) {
			c.Body, c.Views = nil, Views{}
		}
		out.Request = &c
	}
	if r := q.Response; r != nil {
		c := *r
		c.Header = r.Header.Clone()
		if !b.other.Reads(q.Phase, "response", "body") {
			c.Body = nil
		}
		out.Response = &c
	}
	return &out
}

// bodied reports whether a question holds what a body came to.
func bodied(q *Question) bool {
	r := q.Request
	return r != nil && (r.Body != nil || r.Form != nil || r.Multipart != nil || r.GraphQL != nil || r.RPC != nil) ||
		q.Response != nil && q.Response.Body != nil || q.Message != nil && q.Message.Body != nil
}

// lacks reports whether the candidate looks into a body that was not read for it.
func (b *beside) lacks(q *Question) bool {
	state, part := BodyNone, "request"
	switch {
	case q.Phase == Message && q.Message != nil:
		state, part = q.Message.BodyState, "message"
	case q.Request != nil:
		state = q.Request.BodyState
	}
	if state == BodyNone || state == "" || state == BodyParsed {
		return false
	}
	return slices.ContainsFunc([]string{"body", "form", "multipart", "graphql", "rpc", "body_state"}, func(view string) bool {
		return b.other.Reads(q.Phase, part, view) && !b.Engine.Reads(q.Phase, part, view)
	})
}

// Effect is what comes of a decision about a question, and the code of a refusal.
func (d *Decision) Effect(q *Question) (effect, code string) {
	switch {
	case d.Err != nil && len(d.Deny) == 0:
		return "error", CodePolicyError
	case len(d.Deny) > 0:
		return "deny", d.Deny[0].Code
	case d.Respond != nil:
		return "respond", ""
	case q.Phase == Message || q.Phase == Dial || q.Phase == Response: // only deny counts
		return "allow", ""
	case !d.Granted(), q.Phase == Connect && q.Destination.Protocol != "tls" && !d.Opaque, q.Phase == Request && q.Destination.Protocol == "websocket" && !d.WebSocket:
		return "deny", CodeDefaultDeny
	}
	return "allow", ""
}

// Differences name what two decisions with the same effect say differently.
func (d *Decision) Differences(o *Decision) (out []string) {
	for _, x := range []struct {
		what string
		same bool
	}{
		{"credentials", reflect.DeepEqual(d.Credentials, o.Credentials)}, {"set_headers", slices.Equal(d.Set, o.Set)}, {"remove_headers", slices.Equal(d.Remove, o.Remove)},
		{"rewrite", reflect.DeepEqual(d.Rewrite, o.Rewrite)}, {"respond", reflect.DeepEqual(d.Respond, o.Respond)}, {"limits", d.Limits == o.Limits && slices.Equal(d.Quotas, o.Quotas)}, {"patch_body", reflect.DeepEqual(d.Patch, o.Patch)},
	} {
		if !x.same {
			out = append(out, x.what)
		}
	}
	return out
}
