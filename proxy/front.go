package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/canon"
)

// front makes one canonical form of what was meant, and refuses what has two
// readings. The byte-level half of HTTP/1 is below net/http, in package h1.
func (x *exchange) front() error {
	r := x.r
	f := x.flow
	if err := f.violation(r); err != nil {
		return err
	}
	if err := canon.Headers(r.Header); err != nil {
		return err
	}
	switch r.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "SEARCH", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK", "QUERY":
	default: // TRACE shows a client what we added (hostile 70)
		return refuse(http.StatusMethodNotAllowed, "method_denied", "this method is not carried").closing()
	}
	if err := x.authority(); err != nil {
		return err
	}
	if f.mismatch != nil {
		return f.mismatch
	}
	if err := x.path(); err != nil {
		return err
	}
	others, ref := x.srv.marks.passed(r.Header["Via"])
	if ref != nil {
		return ref
	}
	x.via = others
	if err := x.upgrade(); err != nil {
		return err
	}
	if err := canon.StripRequest(r.Header); err != nil {
		return err
	}
	return x.takeBody()
}

// authority finds the one destination that all layers agree on.
func (x *exchange) authority() error {
	r, f := x.r, x.flow
	x.scheme = "http"
	if f.https {
		x.scheme = "https"
	}
	port := f.port
	if f.route.ingress == "forward" {
		port = 80
		if r.URL.Host == "" && r.ProtoMajor == 1 {
			return refuse(http.StatusBadRequest, "not_a_proxy_request", "a proxy expects a target with a scheme and a host").closing()
		}
	}
	if r.URL.Scheme != "" && r.URL.Scheme != x.scheme || f.door != nil && r.TLS != nil { // which says in HTTP/2 that :scheme is https
		return refuse(http.StatusBadRequest, "scheme_invalid", "the target's scheme is not that of the connection").closing()
	}
	if r.Host == "" {
		return refuse(http.StatusBadRequest, "host_invalid", "the request does not say which host it is for").closing()
	}
	a, err := dest.ParseAuthority(r.Host, port)
	if err != nil {
		return refuse(http.StatusBadRequest, "host_invalid", "the host of the request is not a host name or address").because(err).closing()
	}
	if r.ProtoMajor == 2 {
		if err := h2Twice(r, a, port); err != nil {
			return err
		}
	}
	x.target, x.host = a, a.String()
	if f.route.ingress == "forward" {
		return nil
	}
	switch {
	case a.Port() != f.port:
		return misdirected("the connection was made to port %v and the request asks for %s", f.port, a)
	case !f.sni.IsZero() && a.Host() != f.sni:
		return misdirected("TLS asks for %s and the request for %s", f.sni, a.Host())
	case !f.name.IsZero() && a.Host() != f.name:
		return misdirected("the connection was made for %s and the request asks for %s", f.name, a.Host())
	}
	if ip, ok := a.Host().Addr(); ok && f.name.IsZero() && f.route.dst.IsValid() && ip != f.route.dst.Addr() {
		return misdirected("the connection was made to %s and the request asks for %s", f.route.dst, a)
	}
	return nil
}

// h2Twice compares what HTTP/2 can say twice: RFC 9113, 8.3.1.
func h2Twice(r *http.Request, a dest.Addr, port uint16) error {
	if hs, ok := r.Header["Host"]; ok {
		for _, h := range hs {
			b, err := dest.ParseAuthority(h, port)
			if err != nil || b != a {
				return refuse(http.StatusBadRequest, "authority_contradiction", "Host and :authority differ")
			}
		}
		r.Header.Del("Host")
	}
	if cl := r.Header["Content-Length"]; len(cl) == 1 && cl[0] != strconv.FormatInt(r.ContentLength, 10) { // RFC 9113, 8.1.1
		return refuse(http.StatusBadRequest, "framing_invalid", "Content-Length is not the length of the body")
	}
	if r.URL.Host != "" {
		b, err := dest.ParseAuthority(r.URL.Host, port)
		if err != nil || b != a || !strings.HasPrefix(r.RequestURI, "/") {
			return refuse(http.StatusBadRequest, "path_invalid", ":path must be a path")
		}
	}
	return nil
}

// path makes the facts of a request's target that policy sees.
func (x *exchange) path() error {
	r := x.r
	raw := r.RequestURI
	if r.URL.IsAbs() { // absolute form: what stands behind the authority
		_, rest, _ := strings.Cut(raw, "://")
		i := strings.IndexAny(rest, "/?")
		switch {
		case i < 0:
			raw = "/"
		case rest[i] == '?':
			raw = "/" + rest[i:]
		default:
			raw = rest[i:]
		}
	}
	if raw == "*" {
		return refuse(http.StatusBadRequest, "path_invalid", "a request about the proxy itself has no place here").closing()
	}
	p, query, hasQuery := strings.Cut(raw, "?")
	if !strings.HasPrefix(p, "/") {
		return refuse(http.StatusBadRequest, "path_invalid", "the path does not begin with a slash").closing()
	}
	path, segments, err := canon.Path(p)
	if err != nil {
		return err
	}
	q, err := canon.Query(query)
	if err != nil {
		return err
	}
	x.facts = &policy.RequestFacts{Method: r.Method, Path: path, PathRaw: p, Segments: segments, Query: q, Header: r.Header,
		ContentType: r.Header.Get("Content-Type"), BodyState: policy.BodyNone}
	r.URL.RawQuery, r.URL.ForceQuery = query, hasQuery && query == ""
	return method(x.facts, hasQuery)
}
