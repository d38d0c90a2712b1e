package proxy

import (
	"context"
	"errors"
	"net"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// tunnel carries an opaque connection that policy granted, in a goroutine of its
// own: a decision takes a large stack, and a tunnel waits long on a small one.
func (f *flow) tunnel(w *ward, q *policy.Question, d *policy.Decision, client net.Conn) {
	f.gate.goes(f.raw, func() {
		defer f.recovered()
		f.opaque(w, q, d, client)
	})
}

// opaque is a tunnel from its record to its record: in between it dials and copies.
func (f *flow) opaque(w *ward, q *policy.Question, d *policy.Decision, client net.Conn) {
	defer f.end()
	g := f.gate
	start := time.Now()
	target := q.Destination.Addr
	bound, binding := w.sb.Binding(target)
	if ref := opaqueTo(w.sb, target, binding); ref != nil {
		f.refuseOpaque(ref, d, q.Destination.Protocol)
		return
	}
	counted, ref := g.quotas.take(d, d.Quotas, start)
	if ref != nil {
		f.refuseOpaque(ref, d, q.Destination.Protocol)
		return
	}
	defer counted()
	ev := w.of(f.event(audit.TunnelDecision))
	ev.ID = audit.NewID()
	ev.Request = f.opaqueRequest(q.Destination.Protocol)
	ev.Decision = decisionRecord(d, nil)
	if _, err := g.srv.cfg.Audit.Record(g.ctx, ev); err != nil {
		g.srv.cfg.Log.Error().Err(err).Msg("no record, no tunnel")
		f.over(refuse(503, "audit_unavailable", "the audit log cannot be written, so nothing is sent"))
		return
	}
	of := ev.ID
	done := w.of(f.event(audit.TunnelClose))
	done.Of, done.Request = of, ev.Request
	dest := target
	if binding {
		dest = bound.Target
	}
	ctx, cut := context.WithCancelCause(g.ctx)
	defer cut(nil)
	dl := &dial{gate: g, flow: f, ward: w, binding: binding}
	sp := newSpan(g.bounds(d.Limits), cut)
	defer sp.end()
	defer g.follow(&live{again: func(now *ward) *Refusal {
		lim, ref := stillGranted(now, w, q, bound, d)
		if ref == nil {
			ref = dl.again(g.ctx, now, q)
		}
		if ref == nil {
			sp.bound(g.bounds(lim))
		}
		return ref
	}, cut: cut}, w)()
	up, err := dl.dial(withDial(ctx, dl), dest, q)
	done.Server = dl.server(bindingName(binding, target))
	if err != nil {
		ref := refusalOf(err)
		done.Result = &audit.Result{Outcome: "failure", ErrorType: ref.Code, Error: ref.Error(), Took: time.Since(start)}
		if code, text := why(ctx); code != "" {
			done.Result.ErrorType, done.Result.Error = code, text
		}
		_ = g.srv.cfg.Audit.Append(done)
		f.over(ref)
		return
	}
	defer func() { _ = up.Close() }()
	_, _ = f.answer(nil) // a client that is not there ends the tunnel at once
	open := w.of(f.event(audit.TunnelOpen))
	open.Of, open.Request, open.Server = of, ev.Request, done.Server
	_ = g.srv.cfg.Audit.Append(open)

	stop := context.AfterFunc(ctx, func() { sever(up); sever(f.raw) })
	defer stop()
	settle := unsettled(f.raw, up)
	patient(g.bounds(d.Limits).idle, f.raw, up)
	err = sp.carry(f.raw, client, up, func() {
		ev := w.of(f.event(audit.TunnelProgress))
		ev.Of, ev.Request, ev.Result = of, done.Request, sp.result()
		g.append(ev)
	})
	done.Result = sp.result()
	done.Result.Outcome = "success"
	if err == nil && ctx.Err() == nil {
		settle()
	} else if err != nil {
		done.Result.Outcome = "failure"
		done.Result.ErrorType, done.Result.Error = "reset", err.Error()
	}
	if code, text := why(ctx); code != "" {
		done.Result.Outcome, done.Result.ErrorType, done.Result.Error = "failure", code, text
	}
	_ = g.srv.cfg.Audit.Append(done)
}

// why is what ended a tunnel that did not end by itself: a change, or its bounds.
func why(ctx context.Context) (code, text string) {
	var spent *spentError
	if e := ended(ctx); e != nil {
		return e.code(), e.Error()
	} else if errors.As(context.Cause(ctx), &spent) {
		return spent.code, spent.Error()
	}
	return "", ""
}

// opaqueTo refuses what has no place in a tunnel: names that do not exist, and
// those of which an operator's service carries the requests.
func opaqueTo(sb *sandbox.Sandbox, to dest.Addr, binding bool) *Refusal {
	if !binding && sb.Via(to) != nil {
		return refuse(403, "via_opaque", "requests to this name go through a service that reads them, so it is not reached unread")
	}
	return sealed(sb, binding)
}

// unsettled makes both ends of a tunnel look cut when they are closed, by whatever
// ends the proxy too, until they are settled: bytes have no other way to say that
// more was to come (hostile 149).
func unsettled(ends ...net.Conn) (settle func()) {
	linger := func(sec int) {
		for _, c := range ends {
			for c != nil {
				if t, ok := c.(interface{ SetLinger(int) error }); ok {
					_ = t.SetLinger(sec)
					break
				}
				below, ok := c.(interface{ NetConn() net.Conn })
				if !ok {
					break
				}
				c = below.NetConn()
			}
		}
	}
	linger(0)
	return func() { linger(-1) }
}

// stillGranted asks about a tunnel that is open as it was asked about at first. It
// returns what bounds it now.
func stillGranted(now, began *ward, q *policy.Question, bound sandbox.Binding, first *policy.Decision) (policy.Limits, *Refusal) {
	if now.policy == began.policy && now.sb == began.sb {
		return first.Limits, nil
	}
	again := *q
	again.Sandbox = now.sb
	b, binding := now.sb.Binding(q.Destination.Addr)
	if ref := opaqueTo(now.sb, q.Destination.Addr, binding); ref != nil {
		return policy.Limits{}, ref
	}
	if b.Target != bound.Target {
		return policy.Limits{}, refuse(403, "binding_changed", "this name leads elsewhere now")
	}
	d := now.policy.Decide(context.Background(), &again)
	if !d.Granted() || first.Opaque && !d.Opaque {
		if ref := refusalOfDecision(d); ref != nil {
			return policy.Limits{}, ref
		}
		return policy.Limits{}, refuse(403, policy.CodeDefaultDeny, "no rule allows this")
	}
	return d.Limits, nil
}

// noDial guards the doors that are not used: nothing may leave by them.
func noDial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("this transport does not dial")
}

// bindingName is what a record calls the binding that a destination is.
func bindingName(is bool, a dest.Addr) string {
	if is {
		return a.String()
	}
	return ""
}
