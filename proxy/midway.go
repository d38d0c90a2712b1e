package proxy

import (
	"context"
	"errors"
	"net/http"

	"sallyport/proxy/canon"
)

// midway is why an answer that has begun is ended by us, or nil when it broke by
// itself: a change, a limit, or a refusal that its body ended with.
func (x *exchange) midway(err error) *Refusal {
	if e := ended(x.cause); e != nil {
		return e.ref
	}
	var ref *Refusal
	switch {
	case errors.As(err, &ref):
		return ref
	case x.limits.Duration > 0 && errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "upstream_timeout", "this took longer than policy allows").because(err)
	}
	return nil
}

// statusMidway is what ends a gRPC answer that has begun, so that its client reads
// why; nil where nothing but a reset can say that more was to come. What was
// announced stays in it, without values: a trailer is sent only if all of it was
// announced or none.
func (x *exchange) statusMidway(resp *http.Response, err error) http.Header {
	ref := x.midway(err)
	if ref == nil || x.facts.GRPC == nil || x.r.ProtoMajor != 2 || canon.GRPCOf(resp.Header.Get("Content-Type")) != canon.GRPCPlain {
		return nil
	}
	ref.Public = x.srv.cfg.Credentials.RedactString(ref.Public)
	out := http.Header{}
	for k := range resp.Trailer {
		out[k] = nil
	}
	id := x.id
	if d := (*deniedMessage)(nil); errors.As(err, &d) {
		id = d.id
	}
	for _, f := range ref.grpcStatus(id) {
		out.Set(f[0], f[1])
	}
	return out
}
