package proxy

import (
	"context"
	"net/http"
	"strconv"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// QuestionOf makes of a request, whose URL is absolute, what policy is asked about
// one like it that arrives on a connection of its own: by the same front, so that
// what is tried beside the proxy has the facts that the proxy will have. It takes
// the fields off that are not forwarded. An error is why such a request is refused
// before policy is asked; barred, if not nil, why it is not carried though policy
// allows it.
func QuestionOf(ctx context.Context, sb *sandbox.Sandbox, d Decider, r *http.Request) (q *policy.Question, barred *Refusal, err error) {
	m, err := newMarks()
	if err != nil {
		return nil, nil, err
	}
	r = r.Clone(ctx)
	f := &flow{https: r.URL.Scheme == "https", port: 80}
	if f.https {
		f.port = 443
	}
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	a, err := dest.ParseAuthority(r.URL.Host, f.port)
	if err != nil {
		return nil, nil, err
	}
	f.name, f.port = a.Host(), a.Port()
	if _, ip := f.name.Addr(); ip {
		f.name = f.sni
	} else if f.https {
		f.sni = f.name
	}
	if r.ContentLength > 0 && r.Header.Get("Content-Length") == "" { // a client says it, and net/http leaves it there
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	r.URL.Scheme, r.URL.Host = "", ""
	srv := &Server{marks: m, cfg: Config{MaxInspected: 1 << 30}}
	x := &exchange{srv: srv, gate: &Gate{srv: srv}, flow: f, ward: &ward{sb: sb, policy: d, wants: wants(d)}, r: r, rc: http.NewResponseController(nil)}
	if err := x.front(); err != nil {
		return nil, nil, refusalOf(err)
	}
	return x.question(), x.barred(), nil
}
