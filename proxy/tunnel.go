package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// tunnelIdle ends a tunnel in which neither side says anything.
const tunnelIdle = 15 * time.Minute

// tunnel carries an opaque connection that policy granted: record, dial, copy,
// record.
func (f *flow) tunnel(w *ward, q *policy.Question, d *policy.Decision, client net.Conn) {
	defer f.end()
	g := f.gate
	start := time.Now()
	target := q.Destination.Addr
	bound, binding := w.sb.Binding(target)
	if ref := unread(w.sb, target, binding); ref != nil {
		f.refuseOpaque(ref, d, q.Destination.Protocol)
		return
	}
	ev := w.of(f.event(audit.TunnelDecision))
	ev.ID = audit.NewID()
	ev.Request = f.opaqueRequest(q.Destination.Protocol)
	ev.Decision = decisionRecord(d, nil)
	if _, err := g.srv.cfg.Audit.Record(g.ctx, ev); err != nil {
		g.srv.cfg.Log.Error().Err(err).Msg("no record, no tunnel")
		f.reset()
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
	dl := &dial{gate: g, flow: f, binding: binding}
	defer g.follow(&live{again: func(now *ward) *Refusal {
		if ref := stillGranted(now, w, q, bound, d.Opaque); ref != nil {
			return ref
		}
		return dl.again(g.ctx, now, q)
	}, cut: cut}, w)()
	up, err := dl.dial(withDial(ctx, dl), dest, q)
	done.Server = dl.server(bindingName(binding, target))
	if err != nil {
		ref := refusalOf(err)
		done.Result = &audit.Result{Outcome: "failure", ErrorType: ref.Code, Error: ref.Error(), Took: time.Since(start)}
		if e := ended(ctx); e != nil {
			done.Result.ErrorType, done.Result.Error = e.code(), e.Error()
		}
		_ = g.srv.cfg.Audit.Append(done)
		f.reset()
		return
	}
	defer func() { _ = up.Close() }()
	open := w.of(f.event(audit.TunnelOpen))
	open.Of, open.Request, open.Server = of, ev.Request, done.Server
	_ = g.srv.cfg.Audit.Append(open)

	stop := context.AfterFunc(ctx, func() { _ = up.Close(); _ = f.raw.Close() })
	defer stop()
	settle := unsettled(f.raw, up)
	var in, out int64
	var inErr, outErr error
	var wg sync.WaitGroup
	wg.Go(func() { in, inErr = pipe(up, client) })
	wg.Go(func() { out, outErr = pipe(client, up) })
	wg.Wait()
	done.Result = &audit.Result{Outcome: "success", BytesIn: in, BytesOut: out, Took: time.Since(start)}
	if err := errors.Join(inErr, outErr); err == nil && ctx.Err() == nil {
		settle()
	} else if err != nil {
		done.Result.Outcome = "failure"
		done.Result.ErrorType, done.Result.Error = "reset", err.Error()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			done.Result.ErrorType = "idle"
		}
	}
	if e := ended(ctx); e != nil {
		done.Result.Outcome, done.Result.ErrorType, done.Result.Error = "failure", e.code(), e.Error()
	}
	_ = g.srv.cfg.Audit.Append(done)
}

// unread refuses what has no place in a tunnel: names that do not exist, and
// those of which an operator's service carries the requests.
func unread(sb *sandbox.Sandbox, to dest.Addr, binding bool) *Refusal {
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

// stillGranted asks about a tunnel that is open as it was asked about at first.
func stillGranted(now, began *ward, q *policy.Question, bound sandbox.Binding, opaque bool) *Refusal {
	if now.policy == began.policy && now.sb == began.sb {
		return nil
	}
	again := *q
	again.Sandbox = now.sb
	b, binding := now.sb.Binding(q.Destination.Addr)
	if ref := unread(now.sb, q.Destination.Addr, binding); ref != nil {
		return ref
	}
	if b.Target != bound.Target {
		return refuse(403, "binding_changed", "this name leads elsewhere now")
	}
	d := now.policy.Decide(context.Background(), &again)
	if !d.Granted() || opaque && !d.Opaque {
		if ref := refusalOfDecision(d); ref != nil {
			return ref
		}
		return refuse(403, policy.CodeDefaultDeny, "no rule allows this")
	}
	return nil
}

// pipe copies one direction and passes its end on.
func pipe(dst, src net.Conn) (int64, error) {
	n, err := io.Copy(&idle{dst}, &idle{src})
	if err != nil { // it was cut, which no end is to hide; the other direction has nothing to wait for
		_ = dst.Close()
		_ = src.Close()
	} else if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	} else {
		_ = dst.Close()
	}
	return n, err
}

// idle gives every read and write of a tunnel a fresh deadline.
type idle struct{ net.Conn }

func (c *idle) Read(p []byte) (int, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(tunnelIdle))
	return c.Conn.Read(p)
}

func (c *idle) Write(p []byte) (int, error) {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(tunnelIdle))
	return c.Conn.Write(p)
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
