package rego

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// The names of the input's fields and the values that are common: OPA
// keeps one of each.
func init() {
	for _, s := range schemas {
		intern(s)
	}
	ast.InternStringTerm("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "http", "https", "http/1.0", "http/1.1", "h2", "h2c", "websocket", "tls", "tcp",
		string(policy.BodyNone), string(policy.BodyParsed), string(policy.BodyTruncated), string(policy.BodyUnparsed), "application/json", "application/grpc", "/", "connect", "sni")
}

func intern(schema map[string]any) {
	below, _ := schema["properties"].(map[string]any)
	for k, v := range below {
		ast.InternStringTerm(k)
		if m, ok := v.(map[string]any); ok {
			intern(m)
		}
	}
}

func str(s string) *ast.Term { return ast.InternedTerm(s) }

// A part is an object of the input that is being made, of what is wanted of it.
type part struct {
	o ast.Object
	w *wanted
}

func (p part) text(k, v string) {
	if p.w.at(k) != nil {
		p.o.Insert(str(k), str(v))
	}
}

func (p part) set(k string, v *ast.Term) { p.o.Insert(str(k), v) }

// object puts an object that fill fills. Without anything in it, it is there only
// for who can ask whether it is.
func (p part) object(k string, fill func(part)) {
	below := p.w.at(k)
	if below == nil {
		return
	}
	o := ast.NewObject()
	fill(part{o, below})
	if below.all || o.Len() > 0 {
		p.set(k, ast.NewTerm(o))
	}
}

// build makes the input of one question as OPA's own values, without what the
// phase cannot read.
func build(w *wanted, q *policy.Question) ast.Value {
	in := part{ast.NewObject(), w}
	in.object("sandbox", func(p part) { p.sandbox(q) })
	in.object("destination", func(p part) { p.destination(&q.Destination) })
	if q.Request != nil && q.Phase != policy.Connect {
		in.object("request", func(p part) { p.request(q.Request) })
	}
	if q.Phase == policy.Dial && w.at("addresses") != nil {
		as := make([]*ast.Term, 0, len(q.Addresses))
		for _, a := range q.Addresses {
			as = append(as, ast.StringTerm(a.String()))
		}
		in.set("addresses", ast.ArrayTerm(as...))
	}
	if q.DNS != nil && q.Phase == policy.DNS {
		in.object("question", func(p part) { p.question(q.DNS) })
	}
	if r := q.Response; r != nil && q.Phase == policy.Response {
		in.object("response", func(p part) {
			if p.w.at("status") != nil {
				p.set("status", ast.InternedTerm(r.Status))
			}
			p.headers(r.Header)
			p.body(r.Size, r.ContentType, r.Body, r.BodyState)
		})
	}
	if m := q.Message; m != nil && q.Phase == policy.Message {
		in.object("message", func(p part) {
			p.text("direction", m.Direction)
			p.text("kind", m.Kind)
			p.body(m.Size, "", m.Body, m.BodyState)
		})
	}
	return in.o
}

func (p part) sandbox(q *policy.Question) {
	sb := q.Sandbox
	if sb == nil {
		return
	}
	p.text("id", sb.ID)
	p.text("name", sb.Name)
	p.object("labels", func(p part) {
		for k, v := range sb.Labels {
			p.text(k, v)
		}
	})
	p.object("props", func(p part) {
		for k, v := range sb.Props {
			if below := p.w.at(k); below != nil {
				p.set(k, ast.NewTerm(value(v, below)))
			}
		}
	})
	p.object("identity", func(p part) {
		p.text("way", string(sb.Identity.Way))
		p.text("peer", sb.Identity.Peer)
	})
}

// value is a JSON value, of which a field that is not wanted is left out.
func value(v any, w *wanted) ast.Value {
	if m, ok := v.(map[string]any); ok && !w.all {
		o := ast.NewObject()
		for k, v := range m {
			if below := w.at(k); below != nil {
				o.Insert(ast.StringTerm(k), ast.NewTerm(value(v, below)))
			}
		}
		return o
	}
	out, err := ast.InterfaceToValue(v)
	if err != nil { // none of JSON
		return ast.NullValue
	}
	return out
}

func (p part) question(d *policy.DNSFacts) {
	p.text("name", d.Name.String())
	p.text("type", d.Type)
	if p.w.at("name_suffixes") != nil {
		p.set("name_suffixes", list(d.Name.Suffixes()))
	}
	if p.w.at("registered_domain") != nil {
		if rd := d.Name.RegisteredDomain(); rd != "" {
			p.text("registered_domain", rd)
		}
	}
}

func (p part) destination(d *policy.Destination) {
	h := d.Addr.Host()
	p.text("host", h.String())
	if p.w.at("port") != nil {
		p.set("port", ast.InternedTerm(int(d.Addr.Port())))
	}
	p.text("scheme", d.Scheme)
	p.text("protocol", d.Protocol)
	if p.w.at("host_suffixes") != nil {
		p.set("host_suffixes", list(h.Suffixes()))
	}
	if p.w.at("registered_domain") != nil {
		if rd := h.RegisteredDomain(); rd != "" {
			p.text("registered_domain", rd)
		}
	}
	p.object("authority", func(p part) {
		for _, f := range [...]struct{ k, v string }{{"connect", d.Connect}, {"sni", d.SNI}, {"host", d.Host}} {
			if f.v != "" {
				p.text(f.k, f.v)
			}
		}
	})
}

func (p part) request(r *policy.RequestFacts) {
	p.text("method", r.Method)
	p.text("path", r.Path)
	p.text("path_raw", r.PathRaw)
	if p.w.at("segments") != nil {
		p.set("segments", list(r.Segments))
	}
	p.object("query", func(p part) {
		for k, vs := range r.Query {
			if p.w.at(k) != nil {
				p.o.Insert(ast.StringTerm(k), list(vs))
			}
		}
	})
	p.headers(r.Header)
	if g := r.GRPC; g != nil {
		p.object("grpc", func(p part) {
			p.text("service", g.Service)
			p.text("method", g.Method)
		})
	}
	p.body(r.Size, r.ContentType, r.Body, r.BodyState)
	p.views(&r.Views)
}

func (p part) body(size int64, contentType string, body any, state policy.BodyState) {
	if contentType != "" {
		p.text("content_type", contentType)
	}
	p.text("body_state", string(cmp.Or(state, policy.BodyNone)))
	if size >= 0 && p.w.at("size") != nil {
		p.set("size", ast.NumberTerm(json.Number(strconv.FormatInt(size, 10))))
	}
	if w := p.w.at("body"); w != nil && state == policy.BodyParsed {
		if v, err := ast.InterfaceToValue(body); err == nil {
			p.set("body", ast.NewTerm(v))
		}
	}
}

// headers puts fields by lower-case name.
func (p part) headers(h http.Header) {
	p.object("headers", func(p part) {
		for k, vs := range h {
			if p.w.all {
				p.o.Insert(ast.StringTerm(strings.ToLower(k)), list(vs))
				continue
			}
			for name := range p.w.below {
				if len(k) == len(name) && strings.ToLower(k) == name {
					p.o.Insert(ast.StringTerm(name), list(vs))
				}
			}
		}
	})
}

func list(vs []string) *ast.Term {
	ts := make([]*ast.Term, 0, len(vs))
	for _, v := range vs {
		ts = append(ts, ast.StringTerm(v))
	}
	return ast.ArrayTerm(ts...)
}

var (
	bodyRef         = ast.MustParseRef("input.request.body")
	sizeRef         = ast.MustParseRef("input.request.size")
	responseBodyRef = ast.MustParseRef("input.response.body")
	responseSizeRef = ast.MustParseRef("input.response.size")
	messageBodyRef  = ast.MustParseRef("input.message.body")
	messageSizeRef  = ast.MustParseRef("input.message.size")
)

// uncertain are the facts of a question that exist and are not known.
func uncertain(q *policy.Question) (out []ast.Ref) {
	add := func(body, length ast.Ref, size int64, state policy.BodyState) {
		if state == policy.BodyTruncated || state == policy.BodyUnparsed {
			out = append(out, body)
		}
		if size < 0 {
			out = append(out, length)
		}
	}
	if r := q.Request; r != nil && q.Phase != policy.Connect {
		add(bodyRef, sizeRef, r.Size, r.BodyState)
		out = append(out, unknownViews(r)...)
	}
	if r := q.Response; r != nil && q.Phase == policy.Response {
		add(responseBodyRef, responseSizeRef, r.Size, r.BodyState)
	}
	if m := q.Message; m != nil && q.Phase == policy.Message {
		add(messageBodyRef, messageSizeRef, m.Size, m.BodyState)
	}
	return out
}
