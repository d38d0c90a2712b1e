package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// An exchange is one request and what becomes of it.
type exchange struct {
	srv   *Server
	gate  *Gate
	flow  *flow
	ward  *ward
	start time.Time
	w     *responseWriter
	r     *http.Request
	rc    *http.ResponseController

	// What the strict front found.
	target    dest.Addr // canonical authority, with the port that was meant
	scheme    string
	host      string // Host or :authority, canonical
	facts     *policy.RequestFacts
	body      *requestBody
	arrives   *arriving             // what is below it; nil without one
	expects   bool                  // it waits to be told to send its body
	switches  bool                  // it asks to switch protocols
	websocket bool                  // to a WebSocket, as it must
	peer      io.ReadWriteCloser    // that the upstream switched to; nil until then
	relay     atomic.Pointer[relay] // that carries the WebSocket; nil until then
	asks      *called               // messages of gRPC from the sandbox, and to it; nil of what is none
	answers   *called
	via       []string     // other sallyports that the request came through
	inspected int64        // bytes of memory that it is charged
	held      atomic.Int64 // and for what is held of its answer

	id       string // of the decision record
	decision *policy.Decision
	would    string // in observe: the code that would have refused
	final    dest.Addr
	fscheme  string // scheme towards the upstream
	prefix   string // path prefix of a binding
	binding  bool
	bound    sandbox.Binding // what the target is, if it is a binding
	over     *sandbox.Via    // what carries it instead, or nil
	told     string          // to that: the context of this request
	nonce    string
	created  int64
	whole    []byte             // of the body, when policy read all of it
	limits   policy.Limits      // of all decisions about it
	before   policy.Limits      // of the one before a rewrite
	most     int64              // bytes of the answer, by phase response; 0 is no limit
	counted  func()             // gives back what policy has it counted to; nil when nothing
	grant    *credentials.Grant // whose secrets are looked for in the answer; nil when there are none
	used     *credentials.Grant // that was put on
	resized  bool               // its body is another one, with a credential in it or edited
	edited   bool               // by policy
	size     int64              // of that
	stripped []string
	dial     *dial
	cause    context.Context // of what is sent: says whether a change or the clock cut it
	clock    *clock
	wrote    atomic.Bool  // something of it may have reached the upstream
	first    atomic.Int64 // nanoseconds from start to the first byte of the answer; set by the transport
	result   audit.Result
	recorded bool
	hurried  bool // what is left of it has an end
}

// cutGrace is how long the end of what a change cut may take.
const cutGrace = 200 * time.Millisecond

type exchangeKey struct{}

func exchangeFrom(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// serve is the path of every request, however it came in.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r)
	if x == nil {
		panic(http.ErrAbortHandler)
	}
	x.gate.exchanges.Add(1)
	defer x.gate.exchanges.Add(-1)
	defer x.end()
	if ref := x.admit(); ref != nil {
		x.turnAway(ref)
		return
	}
	if r.Method == http.MethodConnect {
		x.connect()
		return
	}
	done, ref := x.gate.admit()
	if ref != nil {
		x.refuse(ref)
		return
	}
	defer done()
	if err := x.pass(); err != nil {
		x.refuse(refusalOf(err))
	}
}

// pass is the order of things: each step can only be reached through the ones
// before it.
func (x *exchange) pass() error {
	if err := x.front(); err != nil { // what was meant, in one canonical form
		return err
	}
	if err := x.ask(); err != nil { // policy, on exactly that form
		return err
	}
	if err := x.edit(); err != nil { // the body, as policy wants it
		return err
	}
	if err := x.record(); err != nil { // durable, or nothing happens
		return err
	}
	if x.decision.Respond != nil {
		return x.respond()
	}
	if err := x.equip(); err != nil { // credentials: theirs off, ours on
		return err
	}
	return x.send() // dial, forward, judge and scrub what comes back
}

// begin identifies: the connection that a request came on says whose it is.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) *exchange {
	f := flowFrom(r.Context())
	if f == nil {
		return nil
	}
	x := &exchange{srv: s, gate: f.gate, flow: f, ward: f.gate.ward.Load(), start: time.Now(), rc: http.NewResponseController(w)}
	x.w = &responseWriter{ResponseWriter: w, x: x}
	x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	x.result.Outcome = "success"
	return x
}

// end writes the outcome, whatever happened.
func (x *exchange) end() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		x.srv.cfg.Log.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("request")
		x.fail("panic", fmt.Errorf("panic: %v", p))
		if !x.w.wrote {
			x.refuse(refuse(http.StatusInternalServerError, "internal", "sallyport failed on this request").because(fmt.Errorf("panic: %v", p)).closing())
			p = nil // it was answered whole
		}
	}
	if x.r.ProtoMajor == 1 || x.w.n > 0 {
		x.hurry(false)
	}
	x.complete()
	x.inspectedAll()
	if x.counted != nil {
		x.counted()
	}
	x.unread()
	if p != nil {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) fail(kind string, err error) {
	x.result.Outcome, x.result.ErrorType = "failure", kind
	if err != nil {
		x.result.Error = x.srv.cfg.Credentials.RedactString(err.Error())
	}
}

// connect decides a CONNECT: it opens nothing yet, so it is answered 200 and
// what comes inside is decided there.
func (x *exchange) connect() {
	x.recorded = true // there is no request yet: what comes inside has records of its own
	if x.flow.route.ingress != "forward" {
		x.recorded = false
		x.refuse(refuse(http.StatusMethodNotAllowed, "method_denied", "CONNECT has no place inside a connection").closing())
		return
	}
	a, err := dest.ParseAddr(x.r.RequestURI)
	if bad := x.flow.violation(x.r); err != nil || bad != nil {
		x.recorded = false
		if bad != nil {
			err = bad
		}
		x.refuse(refuse(http.StatusBadRequest, "authority_invalid", "CONNECT needs host:port").because(err).closing())
		return
	}
	via, ref := x.srv.marks.passed(x.r.Header["Via"])
	if ref == nil && x.flow.door != nil {
		ref = connectFields(x.r, a)
	}
	if ref == nil {
		x.target, x.via = a, via
	}
	if ref == nil && x.ward.stopped() == nil {
		ref = x.ward.shut(x.r.Context(), policy.Destination{Addr: a, Connect: a.String()})
	}
	if ref != nil {
		x.recorded = false
		x.refuse(ref.closing()) // what follows a CONNECT is read by nobody
		return
	}
	if x.flow.door != nil {
		x.stream()
		return
	}
	x.srv.forward.ServeHTTP(&connectWriter{x.w.ResponseWriter}, x.r)
}

// ask puts the question, follows a rewrite once, and lets nothing pass that is
// not granted.
func (x *exchange) ask() error {
	sb := x.ward.sb
	if ref := x.ward.stopped(); ref != nil {
		return ref
	}
	if err := x.place(sb); err != nil {
		return err
	}
	x.decision = x.ward.policy.Decide(x.r.Context(), x.question())
	quotas := x.decision.Quotas
	if rw := x.decision.Rewrite; x.decision.Granted() && rw != nil {
		if err := x.rewrite(rw); err != nil {
			return err
		}
		if err := x.place(sb); err != nil {
			return err
		}
		first := x.decision
		x.before = first.Limits
		x.decision = x.ward.policy.Decide(x.r.Context(), x.question())
		quotas = slices.Clone(quotas)
		for _, q := range x.decision.Quotas {
			quotas = q.Add(quotas)
		}
		if again := x.decision.Rewrite; x.decision.Granted() && again != nil && *again != *first.Rewrite {
			return refuse(http.StatusForbidden, "rewrite_again", "the policy rewrites what it has rewritten")
		}
	}
	would, ref := x.verdict(x.ward, x.decision)
	if ref == nil && x.decision.Respond == nil {
		ref = x.barred()
	}
	if ref != nil {
		return ref
	}
	x.limits = x.limited(x.decision.Limits)
	if x.counted, ref = x.gate.quotas.take(x.decision, quotas, time.Now()); ref != nil {
		return ref
	}
	x.would = would
	return nil
}

// again reports whether what was allowed would be refused in another ward.
func (x *exchange) again(w *ward) *Refusal {
	for _, a := range x.credentials() {
		if w.keys.Revoked(a.Name) {
			return refuse(http.StatusForbidden, "credential_unavailable", "a credential of this was revoked")
		}
	}
	if w.policy == x.ward.policy && w.sb == x.ward.sb {
		return nil
	}
	q := *x.question()
	q.Sandbox = w.sb
	b, binding := w.sb.Binding(x.target)
	via := w.sb.Via(x.target)
	if binding {
		via = nil
	}
	if ref := sealed(w.sb, binding || via != nil); ref != nil {
		return ref
	}
	if binding != x.binding || binding && !b.Same(x.bound) || !via.Same(x.over) {
		return refuse(http.StatusForbidden, "binding_changed", "this name leads elsewhere now")
	}
	d := w.policy.Decide(x.gate.ctx, &q)
	if _, ref := x.verdict(w, d); ref != nil {
		return ref
	}
	if d.Respond != nil || d.Rewrite != nil && (x.decision.Rewrite == nil || *d.Rewrite != *x.decision.Rewrite) {
		return refuse(http.StatusForbidden, "rewrite_again", "the policy leads this elsewhere now")
	}
	ref := x.dial.again(x.gate.ctx, w, &q)
	if r := x.relay.Load(); ref == nil && r != nil {
		r.span.bound(x.gate.bounds(x.limited(d.Limits)))
	}
	return ref
}

// place finds what a target means in this sandbox: a binding, or itself.
func (x *exchange) place(sb *sandbox.Sandbox) error {
	b, ok := sb.Binding(x.target)
	x.over = nil
	if !ok {
		x.over = sb.Via(x.target)
	}
	if ref := sealed(sb, ok || x.over != nil); ref != nil {
		return ref
	}
	x.binding, x.bound, x.final, x.fscheme, x.prefix = ok, b, x.target, x.scheme, ""
	if ok {
		if b.TargetScheme == "" {
			return refuse(http.StatusForbidden, "binding_raw", "this name stands for a raw connection, not for HTTP")
		}
		x.final, x.fscheme, x.prefix = b.Target, b.TargetScheme, b.PathPrefix
	}
	if v := x.over; v != nil {
		x.final, x.fscheme, x.prefix = v.Target, v.TargetScheme, v.PathPrefix
	}
	return nil
}

// sealed refuses what is not a binding where nothing else exists.
func sealed(sb *sandbox.Sandbox, binding bool) *Refusal {
	if sb.Mode == sandbox.Sealed && !binding {
		return refuse(http.StatusForbidden, "sealed", "nothing but bound names exists in this sandbox")
	}
	return nil
}

// send forwards through goproxy's chain, which calls roundTrip.
func (x *exchange) send() error {
	x.dial = &dial{gate: x.gate, flow: x.flow, ward: x.ward, binding: x.within(), x: x}
	x.dial.towards(x.final)
	ctx, cut := context.WithCancelCause(x.r.Context())
	defer cut(nil)
	x.cause = ctx
	x.clock = newClock(x.dial.limits(x.final), cut)
	x.clock.trailing, x.clock.client, x.clock.stall = x.dial.trailing, x.gate.idle(), x.stall
	defer x.clock.end()
	defer x.gate.follow(&live{again: x.again, cut: func(why error) {
		cut(why)
		_ = x.rc.SetReadDeadline(time.Now().Add(cutGrace)) // a client that neither reads nor writes waits for nothing
		_ = x.rc.SetWriteDeadline(time.Now().Add(cutGrace))
	}}, x.ward)()
	if d := x.limits.Duration; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	ctx = withDial(ctx, x.dial)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if x.unrepeatable(i.Conn) {
				cut(&lateError{refuse(http.StatusBadGateway, "upstream_failed", "the destination gave this request up, which is not sent twice")})
				return
			}
			x.dial.gotConn(i)
			x.w.goOn()
			x.clock.given()
		},
		WroteHeaders:         func() { x.wrote.Store(true) },
		Got1xxResponse:       func(code int, h textproto.MIMEHeader) error { x.clock.hinted(); return x.w.got1xx(code, h) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { x.clock.sent() },
		GotFirstResponseByte: func() { x.first.Store(int64(time.Since(x.start))) },
	})
	if x.body != nil {
		r, err := x.calls(x.body.Reader, x.facts.ContentType, true)
		if err != nil {
			return err
		}
		x.clock.messages = r != x.body.Reader
		x.body.Reader = r
	}
	out := x.outgoing(ctx)
	if x.body != nil && x.r.ProtoMajor == 1 {
		_ = x.rc.EnableFullDuplex()
	}
	if x.websocket {
		return x.switchTo(out)
	}
	x.srv.forward.ServeHTTP(x.w, out)
	if x.w.broken != nil {
		panic(http.ErrAbortHandler) // a cut answer must look cut
	}
	return nil
}
