package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"sallyport/policy"
	"sallyport/proxy/views"
)

// inspectLimit is how much of a body policy can see.
const inspectLimit = views.Limit

// A requestBody counts what the sandbox sends and ends at the limit.
type requestBody struct {
	io.Reader
	io.Closer
	n     atomic.Int64
	limit int64 // 0 is none
	err   atomic.Pointer[error]
	clock *clock // nil while it is inspected
}

// tooLarge is a refusal of its own each time: what becomes of one is written on it.
func tooLarge() *Refusal {
	return refuse(http.StatusRequestEntityTooLarge, "request_too_large", "the body is larger than policy allows")
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.clock.fetching()
	n, err := b.Reader.Read(p)
	b.clock.fetched(n)
	if total := b.n.Add(int64(n)); b.limit > 0 && total > b.limit {
		err = tooLarge()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err.Store(&err)
	}
	return n, err
}

// failure is why the body could not be read to its end, if so.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	if e := b.err.Load(); e != nil {
		return *e
	}
	return nil
}

// takeBody makes a body countable, and parses it if the policy can read it.
func (x *exchange) takeBody() error {
	r := x.r
	wants := x.ward.wants
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		if r.ContentLength == 0 {
			r.Body = http.NoBody
		}
		views.Query(x.facts, wants)
		return nil
	}
	x.arrives = &arriving{ReadCloser: r.Body}
	r.Body = x.arrives
	x.body = &requestBody{Reader: r.Body, Closer: r.Body}
	if x.awaits() { // a transport that fails closes it
		x.body.Closer = io.NopCloser(r.Body)
	}
	x.facts.Size, x.facts.BodyState = r.ContentLength, policy.BodyUnparsed
	if !wants.OfBody() {
		return nil
	}
	codings := r.Header.Values("Content-Encoding")
	if ref := x.inspects(r.ContentLength, len(codings) > 0); ref != nil {
		return ref
	}
	_ = x.rc.SetReadDeadline(time.Now().Add(x.srv.cfg.Patience.Inspect))
	head, err := io.ReadAll(io.LimitReader(r.Body, inspectLimit+1))
	_ = x.rc.SetReadDeadline(time.Time{})
	if late(r.Context(), err) {
		return stalled().because(err)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "body_unreadable", "the body could not be read").because(err).closing()
	}
	x.body.Reader = io.MultiReader(bytes.NewReader(head), r.Body)
	if len(head) <= inspectLimit {
		x.facts.Size, x.whole = int64(len(head)), head
	}
	views.Read(x.facts, codings, head, wants)
	if ref := x.weighs(x.facts.Body); ref != nil {
		return ref
	}
	return nil
}

// awaited is how long a refusal waits for a body, and up to which size.
const (
	awaitedBody = 64 << 10
	awaitedTime = 250 * time.Millisecond
)

// await lets a short body arrive before it is refused: over HTTP/2 an answer that
// comes earlier is followed by a reset, for which some clients forget the answer.
func (x *exchange) await() {
	if !x.awaits() {
		return
	}
	r := x.r
	_ = x.rc.SetReadDeadline(time.Now().Add(awaitedTime))
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength+1)
}

func (x *exchange) awaits() bool {
	r := x.r
	return r.ProtoMajor == 2 && r.ContentLength > 0 && r.ContentLength <= awaitedBody && r.Header.Get("Expect") == ""
}
