package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/proxy/ws"
)

// Times of a WebSocket.
const (
	closeWait = 10 * time.Second // for the other side's close
	farewell  = time.Second      // for a close of ours to be taken
)

// A relay carries one WebSocket: what each side says is checked, judged and passed
// to the other, a frame at a time.
type relay struct {
	x       *exchange
	ctx     context.Context
	cut     context.CancelCauseFunc
	client  end
	origin  end
	out, in *half // from the sandbox, to the sandbox

	pings pings
	late  *time.Timer // severs when a close is not answered

	closer  atomic.Pointer[half] // whose close came first
	span    *span
	once    sync.Once
	stopped chan struct{} // closed when nothing is passed any more
	mu      sync.Mutex
	why     *ending // nil while it goes on, and of an end that the sides agreed on
}

// An end is the connection to one side.
type end struct {
	conn   net.Conn // whose deadlines count
	stream io.ReadWriteCloser
	w      *ws.Writer
}

// An ending is why a WebSocket ended otherwise than by a close of its sides, and
// what each of them is told: 0 is nothing.
type ending struct {
	kind           string // of the outcome
	err            error
	client, origin int // codes of a close
	reason         string
}

func newRelay(ctx context.Context, x *exchange, c net.Conn) *relay {
	x.dial.mu.Lock()
	up := x.dial.conn
	x.dial.mu.Unlock()
	ctx, cut := context.WithCancelCause(ctx)
	r := &relay{x: x, ctx: ctx, cut: cut, span: newSpan(x.gate.bounds(x.limits), cut), stopped: make(chan struct{})}
	r.client = end{conn: c, stream: c, w: ws.NewWriter(c, ws.Server)}
	r.origin = end{conn: up, stream: x.peer, w: ws.NewWriter(x.peer, ws.Client)}
	r.out = &half{r: r, toOrigin: true, src: &r.client, dst: &r.origin, read: ws.NewReader(c, ws.Client, ws.Limits{}), lane: &r.span.in}
	r.in = &half{r: r, src: &r.origin, dst: &r.client, read: ws.NewReader(x.peer, ws.Server, ws.Limits{}), lane: &r.span.out}
	for _, h := range []*half{r.out, r.in} {
		h.judge = &judge{x: x, toOrigin: h.toOrigin, exact: h.toOrigin || x.grant == nil, pass: h.send}
	}
	r.late = time.AfterFunc(time.Hour, r.sever)
	r.late.Stop()
	x.relay.Store(r)
	if x.grant != nil {
		r.in.search = x.grant.Search()
	}
	return r
}

// run carries until both sides have closed, or it is ended.
func (r *relay) run() {
	defer r.cut(nil)
	defer context.AfterFunc(r.ctx, func() { r.stop(r.changed()) })()
	defer context.AfterFunc(r.x.gate.ctx, func() { r.cut(nil) })() // the server that it came on has forgotten it
	defer r.span.end()
	defer r.late.Stop()
	r.span.mu.Lock()
	r.span.progress = r.report
	r.span.mu.Unlock()
	defer r.x.gate.joined(r)()
	var wg sync.WaitGroup
	wg.Go(r.guarded(r.in))
	r.guarded(r.out)()
	wg.Wait()
	r.sever()
	r.settle()
}

// guarded is the way of a half; a bug in it ends this WebSocket and no other.
func (r *relay) guarded(h *half) func() {
	return func() {
		defer func() {
			if p := recover(); p != nil {
				r.x.srv.cfg.Log.Error().Str("panic", fmt.Sprint(p)).Msg("websocket")
				r.stop(&ending{kind: "panic", err: fmt.Errorf("panic: %v", p), client: ws.Unexpected, origin: ws.Unexpected})
				r.sever()
			}
		}()
		h.run()
	}
}

// changed is why a context ended it.
func (r *relay) changed() *ending {
	if e := ended(r.ctx); e != nil {
		out := r.refused(e.ref, r.x.id)
		out.kind, out.err = e.code(), e
		return out
	}
	var spent *spentError
	switch {
	case errors.As(context.Cause(r.ctx), &spent):
		return &ending{kind: spent.code, err: spent, client: ws.GoingAway, origin: ws.GoingAway}
	case errors.Is(r.ctx.Err(), context.DeadlineExceeded):
		return &ending{kind: "life", err: errors.New("policy gives it no more time"), client: ws.GoingAway, origin: ws.GoingAway}
	}
	return &ending{kind: "client_gone", err: r.ctx.Err(), origin: ws.GoingAway}
}

// refused is the end that a refusal makes, which both sides are told of.
func (r *relay) refused(ref *Refusal, id string) *ending {
	code := ws.Policy
	switch ref.Code {
	case "request_too_large", "response_too_large":
		code = ws.TooBig
	case "too_much_to_inspect":
		code = ws.TryLater
	}
	return &ending{kind: ref.Code, err: ref, client: code, origin: code, reason: r.x.spoken(ref, id)}
}

// careful reports whether it matters what is said.
func (r *relay) careful() bool { return r.x.grant != nil || r.x.gate.judged() }

func (r *relay) other(h *half) *half {
	if h == r.out {
		return r.in
	}
	return r.out
}

// stop ends it: nothing is passed any more, and each side is told why. The first
// reason counts.
func (r *relay) stop(e *ending) {
	r.once.Do(func() {
		r.mu.Lock()
		r.why = e
		r.mu.Unlock()
		close(r.stopped)
		var wg sync.WaitGroup
		for s, code := range map[*end]int{&r.client: e.client, &r.origin: e.origin} {
			wg.Go(func() {
				_ = s.conn.SetDeadline(time.Now().Add(farewell))
				switch code {
				case 0:
				case ws.GoingAway: // it is the other side that is told why
					_ = s.w.Close(code, "")
				default:
					_ = s.w.Close(code, e.reason)
				}
			})
		}
		wg.Wait()
	})
}

// over reports whether nothing is passed any more.
func (r *relay) over() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}

// sever closes both connections.
func (r *relay) sever() {
	_ = r.client.stream.Close()
	_ = r.origin.stream.Close()
}

// settle says in the exchange how it ended.
func (r *relay) settle() {
	x := r.x
	r.mu.Lock()
	defer r.mu.Unlock()
	x.result.Messages = r.counted()
	x.w.n = r.span.out.n.Load()
	x.result.BytesIn = r.span.in.n.Load()
	x.result.Scrubbed += r.in.hits
	if r.why != nil {
		x.fail(r.why.kind, r.why.err)
		if r.why.client+r.why.origin > 0 {
			x.result.Source = "proxy"
		}
	}
}

// report records what has passed until now.
func (r *relay) report() {
	x := r.x
	ev := x.ward.of(x.gate.event(audit.RequestProgress))
	ev.Of, ev.Sandbox.Labels = x.id, nil
	ev.Connection.ID = x.flow.id
	ev.Request = x.named()
	r.mu.Lock()
	ev.Result = r.span.result()
	ev.Result.Messages = r.counted()
	r.mu.Unlock()
	x.gate.append(ev)
}

// counted is what a record says of its messages.
func (r *relay) counted() *audit.Messages {
	m := &audit.Messages{In: r.out.messages.Load(), Out: r.in.messages.Load()}
	switch first := r.closer.Load(); {
	case r.why != nil && max(r.why.client, r.why.origin) > 0:
		m.Close, m.By = max(r.why.client, r.why.origin), "proxy"
	case first == r.out:
		m.Close, m.By = int(first.closed.Load()), "client"
	case first == r.in:
		m.Close, m.By = int(first.closed.Load()), "upstream"
	}
	return m
}

// spoken is what a close says of a refusal: as much of it as there is room for,
// and where to find the rest.
func (x *exchange) spoken(ref *Refusal, id string) string {
	const room = 123
	tail := " (decision " + id + ")"
	said := "sallyport: " + ref.Code + ": " + x.srv.cfg.Credentials.RedactString(ref.Public)
	if len(said) > room-len(tail) {
		said = said[:room-len(tail)]
	}
	return strings.ToValidUTF8(said, "") + tail
}
