package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/canon"
)

// outgoing is the request as the upstream will see it.
func (x *exchange) outgoing(ctx context.Context) *http.Request {
	out := x.r.WithContext(ctx) // with the header of x.r, which is this exchange's own
	out.URL = upstreamURL(x.fscheme, x.final, x.prefix+x.facts.PathRaw, x.r.URL)
	out.Host = x.hostField()
	out.RequestURI = ""
	out.Close = false
	x.expects = httpguts.HeaderValuesContainsToken(out.Header["Expect"], "100-continue")
	out.Header.Del("Expect") // answered here: the body follows at once (hostile 63)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // none is invented
	}
	out.Header["Via"] = []string{x.viaField()}
	x.once(out.Header)
	out.Trailer = nil
	out.Body = http.NoBody
	if x.body != nil {
		x.body.limit, x.body.clock = x.limits.RequestBytes, x.clock
		out.Body = x.body
		switch {
		case x.resized:
			out.ContentLength = x.size
		case x.facts.BodyState == policy.BodyParsed:
			out.ContentLength = x.facts.Size
		}
	}
	if x.over != nil {
		x.sign(out)
	}
	return out
}

// upstreamURL keeps the bytes of the path as they came.
func upstreamURL(scheme string, to dest.Addr, path string, in *url.URL) *url.URL {
	u := &url.URL{Scheme: scheme, Host: to.String(), RawQuery: in.RawQuery, ForceQuery: in.ForceQuery}
	u.Path, u.RawPath = path, ""
	if p, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = p, path
	}
	if u.EscapedPath() != path && !strings.HasPrefix(path, "//") {
		u.Opaque = path
	}
	return u
}

// roundTrip sends a request and makes the response what the sandbox may see. It
// never fails: what goes wrong becomes an answer.
func (x *exchange) roundTrip(req *http.Request) *http.Response {
	if l := x.limits.RequestBytes; l > 0 && req.ContentLength > l {
		return x.answer(tooLarge())
	}
	resp, err := x.ward.pools.of(x).RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		if again := x.refetched(req); again != nil { // once
			_, _ = io.CopyN(io.Discard, resp.Body, inspectLimit) // so that the connection can be used again
			_ = resp.Body.Close()
			resp, err = x.ward.pools.of(x).RoundTrip(again)
		}
	}
	x.clock.headed()
	x.w.noMoreHints()
	switching := err == nil && x.websocket && resp.StatusCode == http.StatusSwitchingProtocols
	if err == nil && !switching && (resp.StatusCode < 200 || resp.StatusCode > 599) {
		_ = resp.Body.Close()
		err = refuse(http.StatusBadGateway, "upstream_malformed", "the destination's answer has a status that means nothing here").operator("status %d", resp.StatusCode)
	}
	if err != nil {
		if e := ended(x.cause); e != nil {
			resp := x.answer(e.ref)
			x.endedBy(e)
			return resp
		}
		if ref := lateness(x.cause); ref != nil {
			return x.answer(ref)
		}
		if berr := x.body.failure(); berr != nil {
			err = bodyRefusal(berr)
		}
		err = x.dial.unclear(err)
		return x.answer(refusalOf(err))
	}
	x.result.Source, x.result.UpstreamProto = "upstream", resp.Proto
	if switching {
		if ref := x.switched(resp, req.Header); ref != nil {
			_ = resp.Body.Close()
			return x.answer(ref)
		}
	}
	x.w.from = &arrival{ReadCloser: resp.Body, left: resp.ContentLength, clock: x.clock, heard: x.dial.heard}
	if resp.Body != http.NoBody {
		resp.Body = x.w.from
	}
	canon.StripResponse(resp.Header)
	// It would lead to QUIC, which does not leave (hostile 94).
	resp.Header.Del("Alt-Svc")
	if !x.within() && dnsType(resp.Header.Get("Content-Type")) { // it was asked without saying so
		_ = resp.Body.Close()
		return x.answer(overHTTPS())
	}
	if x.grant != nil {
		if err := x.scrub(resp); err != nil {
			_ = resp.Body.Close()
			return x.answer(refusalOf(err))
		}
	}
	if err := x.judgeResponse(resp); err != nil {
		_ = resp.Body.Close()
		return x.answer(refusalOf(err))
	}
	x.result.ContentType = resp.Header.Get("Content-Type")
	body := io.Reader(resp.Body)
	if !switching { // what follows a switch is no call, whatever the answer says that it is
		if body, err = x.calls(resp.Body, x.result.ContentType, false); err != nil {
			_ = resp.Body.Close()
			return x.answer(refusalOf(err))
		}
	}
	resp.Body = &responseBody{Reader: body, Closer: resp.Body, x: x, resp: resp, limit: x.limits.ResponseBytes}
	resp.Trailer = announced(resp.Trailer)
	if len(resp.Trailer) > 0 && x.r.ProtoMajor == 1 && x.r.ProtoMinor == 1 && req.Method != http.MethodHead { // there no trailer follows a body that has a length
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
	}
	return resp
}

// bodyRefusal is why what the client sent could not be forwarded whole.
func bodyRefusal(err error) error {
	ref := refusalOf(err)
	if ref.Code == "upstream_failed" {
		return refuse(http.StatusBadRequest, "body_invalid", "the body ended early or is malformed").because(err).closing()
	}
	ref.Close = true
	return ref
}

// scrub takes the secret out of what comes back.
func (x *exchange) scrub(resp *http.Response) error {
	x.result.Scrubbed += x.grant.ScrubHeader(resp.Header)
	if resp.Request.Method == http.MethodHead || resp.StatusCode == http.StatusNotModified || resp.StatusCode == http.StatusNoContent {
		resp.Header.Del("Content-Length") // a length says something of what it is the length of (hostile 110)
		resp.ContentLength = -1
	}
	tag := resp.Header["Etag"]
	body, count, err := x.grant.ScrubBody(resp.Body, resp.Header)
	if m := resp.Request.Method; body == http.NoBody && m != http.MethodGet && m != http.MethodHead && len(tag) > 0 { // of what the client wrote
		resp.Header["Etag"] = tag
	}
	if err == nil && resp.StatusCode == http.StatusPartialContent {
		err = errors.New("a part was not asked for")
	}
	if err != nil {
		return refuse(http.StatusBadGateway, "response_unreadable", "the answer cannot be searched for the credential that was sent").because(err)
	}
	x.w.scrubbed = count
	resp.Body = body
	if resp.Header.Get("Content-Length") == "" && resp.Request.Method != http.MethodHead {
		resp.ContentLength = -1
	}
	return nil
}

// judgeResponse asks policy about what the sandbox would see.
func (x *exchange) judgeResponse(resp *http.Response) error {
	if !x.ward.policy.Has(policy.Response) {
		return nil
	}
	q := x.question()
	q.Phase = policy.Response
	state := policy.BodyUnparsed
	if resp.ContentLength == 0 || resp.Body == http.NoBody {
		state = policy.BodyNone
	}
	q.Response = &policy.ResponseFacts{Status: resp.StatusCode, Header: resp.Header, Size: resp.ContentLength, ContentType: resp.Header.Get("Content-Type"), BodyState: state}
	if ref := x.readAnswer(resp, q.Response); ref != nil {
		return ref
	}
	d := x.ward.policy.Decide(resp.Request.Context(), q)
	if d.Err != nil || len(d.Deny) > 0 {
		ref := refusalOfDecision(&policy.Decision{Deny: d.Deny, Err: d.Err})
		ref.Status = http.StatusForbidden
		return ref
	}
	for _, h := range d.Remove {
		resp.Header.Del(h)
	}
	for _, h := range d.Set {
		resp.Header.Set(h.Name, x.srv.cfg.Credentials.RedactString(h.Value))
	}
	if ref := x.editAnswer(resp, d.Patch, q.Response); ref != nil {
		return ref
	}
	x.most = d.Limits.ResponseBytes
	x.limits = x.limited(x.limits)
	return nil
}

// answer is a refusal in the place of the upstream's response.
func (x *exchange) answer(ref *Refusal) *http.Response {
	x.refused(ref)
	x.await()
	rec := &buffered{h: http.Header{}}
	ref.write(rec, x.r, x.id)
	return &http.Response{StatusCode: rec.status, ProtoMajor: 1, ProtoMinor: 1, Header: rec.h, Request: x.r,
		Body: io.NopCloser(strings.NewReader(rec.body.String())), ContentLength: int64(rec.body.Len())}
}

// A buffered is a small response that is not sent yet.
type buffered struct {
	h      http.Header
	status int
	body   strings.Builder
}

func (b *buffered) Header() http.Header         { return b.h }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// A responseBody counts, ends at the limit, keeps a cut visible, and lets no
// trailer through that could change what the message means.
type responseBody struct {
	io.Reader
	io.Closer
	x     *exchange
	resp  *http.Response
	n     int64
	limit int64
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.n += int64(n)
	if b.limit > 0 && b.n > b.limit {
		err = refuse(http.StatusBadGateway, "response_too_large", "the answer is larger than policy allows")
		n = 0
	}
	if e := ended(b.x.cause); e != nil && err == io.EOF { //nolint:errorlint // an upstream that hears of the cut may end well
		err = e
	}
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // the end of a stream
		b.resp.Trailer = b.x.trailer(b.resp.Trailer)
	default:
		b.x.cut(err)
		if t := b.x.statusMidway(b.resp, err); t != nil {
			b.resp.Trailer, b.x.w.broken = t, nil
			err = io.EOF
		}
	}
	return n, err
}

// endedBy notes that a change ended what was under way.
func (x *exchange) endedBy(e *endedError) { x.fail(e.code(), e) }

// cut marks an answer that ends before its end.
func (x *exchange) cut(err error) {
	x.w.broken = err
	if e := ended(x.cause); e != nil {
		x.endedBy(e)
		return
	}
	if ref := lateness(x.cause); ref != nil {
		x.fail(ref.Code, ref)
		return
	}
	kind := "truncated"
	if ref := x.midway(err); ref != nil {
		kind = ref.Code
	} else if errors.Is(err, context.Canceled) {
		kind = "canceled"
	}
	x.fail(kind, err)
}

// trailer keeps the trailer fields that RFC 9110 6.5.1 does not forbid, scrubbed.
func (x *exchange) trailer(t http.Header) http.Header {
	out := http.Header{}
	for k, vs := range t {
		if !canon.TrailerForbidden(k) {
			out[k] = slices.Clone(vs)
		}
	}
	if x.grant != nil {
		x.result.Scrubbed += x.grant.ScrubHeader(out)
	}
	return out
}

func announced(t http.Header) http.Header {
	for k := range t {
		if canon.TrailerForbidden(k) {
			delete(t, k)
		}
	}
	return t
}
