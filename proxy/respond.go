package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/proxy/canon"
)

// question is what policy is asked about this request.
func (x *exchange) question() *policy.Question {
	protocol := "http/1.1"
	switch {
	case x.websocket:
		protocol = "websocket"
	case x.r.ProtoMajor == 2 && x.flow.clear:
		protocol = "h2c"
	case x.r.ProtoMajor == 2:
		protocol = "h2"
	case x.r.ProtoMinor == 0:
		protocol = "http/1.0"
	}
	q := &policy.Question{Phase: policy.Request, Sandbox: x.ward.sb, Request: x.facts,
		Destination: policy.Destination{Addr: x.target, Scheme: x.scheme, Protocol: protocol, Host: x.host}}
	if !x.flow.sni.IsZero() {
		q.Destination.SNI = x.flow.sni.String()
	}
	if !x.flow.route.connect.Host().IsZero() {
		q.Destination.Connect = x.flow.route.connect.String()
	}
	return q
}

// rewrite replaces the target; what follows judges the new one as if it had
// been asked for.
func (x *exchange) rewrite(rw *policy.Rewrite) error {
	wrong := func(err error) error {
		return refuse(http.StatusForbidden, policy.CodePolicyError, "the policy rewrites to a target that cannot be").because(err)
	}
	if rw.Scheme != "" {
		if rw.Scheme != "http" && rw.Scheme != "https" {
			return wrong(fmt.Errorf("scheme %q", rw.Scheme))
		}
		x.scheme = rw.Scheme
	}
	if rw.Host != "" {
		port := uint16(80)
		if x.scheme == "https" {
			port = 443
		}
		a, err := dest.ParseAuthority(rw.Host, port)
		if err != nil {
			return wrong(err)
		}
		x.target, x.host = a, a.String()
	}
	if rw.Path != "" {
		p, query, hasQuery := strings.Cut(rw.Path, "?")
		path, segments, err := canon.Path(p)
		if err != nil {
			return wrong(err)
		}
		q, err := canon.Query(query)
		if err != nil {
			return wrong(err)
		}
		f := *x.facts
		f.Path, f.PathRaw, f.Segments, f.Query = path, p, segments, q
		if err := method(&f, hasQuery); err != nil {
			return wrong(err)
		}
		x.facts = &f
		x.r.URL.RawQuery, x.r.URL.ForceQuery = query, false
	}
	return nil
}

// respond gives the policy's own answer; no upstream is touched.
func (x *exchange) respond() error {
	a := x.decision.Respond
	x.result.Source = "proxy"
	if x.body != nil {
		_ = x.rc.SetReadDeadline(time.Now().Add(x.srv.cfg.Patience.Leave))
		_, _ = io.CopyN(io.Discard, x.body, inspectLimit)
	}
	x.hurry(false)
	body := x.srv.cfg.Credentials.RedactString(a.Body)
	h := x.w.Header()
	for _, f := range a.Header {
		h.Add(f.Name, x.srv.cfg.Credentials.RedactString(f.Value))
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	x.w.WriteHeader(a.Status)
	if x.r.Method != http.MethodHead {
		_, _ = io.WriteString(x.w, body)
	}
	return nil
}
