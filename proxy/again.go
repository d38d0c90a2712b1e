package proxy

import (
	"net/http"

	"sallyport/credentials"
)

// refetched is the request with newer credentials, when its destination turned down those
// that it had, or nil. Only what may be done twice, and has no body, is: a source
// learns of the refusal in any case (hostile 125).
func (x *exchange) refetched(req *http.Request) *http.Request {
	if x.used == nil || x.grant == nil || x.websocket {
		return nil
	}
	if x.body != nil || !idempotent(req.Method) {
		_, _ = x.used.Refused(req.Context(), nil)
		return nil
	}
	out := req.Clone(req.Context())
	r := &credentials.Request{Method: req.Method, Host: req.Host, Path: x.prefix + x.facts.PathRaw, URL: out.URL, Header: out.Header, Room: room{x}}
	if again, err := x.used.Refused(req.Context(), r); err != nil || !again {
		return nil
	}
	return out
}
