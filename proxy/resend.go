package proxy

import (
	"net"
	"net/http"
	"strings"
)

// idempotent are the methods that may be sent again (RFC 9110, 9.2.2). Go's transport
// does so when a connection ends before an answer.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// once keeps Go's transport from sending again what has a key of the client's that
// says it may be: a proxy must not (RFC 9110, 9.2.2). The field goes along under a name
// that only differs in case.
func (x *exchange) once(h http.Header) {
	if idempotent(x.r.Method) {
		return
	}
	for _, k := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[k]; ok {
			delete(h, k)
			h[strings.ToLower(k)] = v
		}
	}
}

// unrepeatable reports whether a request was given another connection although its
// upstream may have acted on it. Over HTTP/1 the transport knows what of it was
// written; over HTTP/2 it also repeats what was reset for an error (hostile 145).
func (x *exchange) unrepeatable(c net.Conn) bool {
	_, one := c.(*upstreamConn)
	return !one && x.wrote.Load() && !idempotent(x.r.Method)
}
