package rego

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// An inputBuilder makes the input of one question as OPA's own values, without
// what the phase cannot read.
type inputBuilder struct{ reads []ast.Ref }

func (b inputBuilder) wants(path ...string) bool {
	want := ast.Ref{ast.InputRootDocument}
	for _, s := range path {
		want = append(want, ast.InternedTerm(s))
	}
	return overlaps(b.reads, want)
}

func str(s string) *ast.Term { return ast.StringTerm(s) }

func put(o ast.Object, k string, v *ast.Term) { o.Insert(ast.InternedTerm(k), v) }

func (b inputBuilder) build(q *policy.Question) ast.Value {
	in := ast.NewObject()
	if b.wants("sandbox") {
		put(in, "sandbox", ast.NewTerm(b.sandbox(q)))
	}
	if b.wants("destination") {
		put(in, "destination", ast.NewTerm(b.destination(q)))
	}
	if q.Request != nil && b.wants("request") && q.Phase != policy.Connect {
		put(in, "request", ast.NewTerm(b.request(q.Request)))
	}
	if q.Phase == policy.Dial && b.wants("addresses") {
		as := make([]*ast.Term, 0, len(q.Addresses))
		for _, a := range q.Addresses {
			as = append(as, str(a.String()))
		}
		put(in, "addresses", ast.ArrayTerm(as...))
	}
	if q.DNS != nil && q.Phase == policy.DNS && b.wants("question") {
		put(in, "question", ast.NewTerm(b.question(q.DNS)))
	}
	if q.Response != nil && q.Phase == policy.Response && b.wants("response") {
		r := q.Response
		o := ast.NewObject()
		put(o, "status", ast.IntNumberTerm(r.Status))
		put(o, "headers", headers(r.Header))
		b.body(o, "response", r.Size, r.ContentType, r.Body, r.BodyState)
		put(in, "response", ast.NewTerm(o))
	}
	if q.Message != nil && q.Phase == policy.Message && b.wants("message") {
		m := q.Message
		o := ast.NewObject()
		put(o, "direction", str(m.Direction))
		put(o, "kind", str(m.Kind))
		b.body(o, "message", m.Size, "", m.Body, m.BodyState)
		put(in, "message", ast.NewTerm(o))
	}
	return in
}

func (b inputBuilder) sandbox(q *policy.Question) ast.Value {
	o := ast.NewObject()
	sb := q.Sandbox
	if sb == nil {
		return o
	}
	put(o, "id", str(sb.ID))
	put(o, "name", str(sb.Name))
	labels := ast.NewObject()
	for k, v := range sb.Labels {
		put(labels, k, str(v))
	}
	put(o, "labels", ast.NewTerm(labels))
	if b.wants("sandbox", "props") {
		props, err := ast.InterfaceToValue(sb.Props)
		if _, ok := props.(ast.Object); err != nil || !ok {
			props = ast.NewObject()
		}
		put(o, "props", ast.NewTerm(props))
	}
	id := ast.NewObject()
	put(id, "way", str(string(sb.Identity.Way)))
	put(id, "peer", str(sb.Identity.Peer))
	put(o, "identity", ast.NewTerm(id))
	return o
}

func (b inputBuilder) question(d *policy.DNSFacts) ast.Value {
	o := ast.NewObject()
	put(o, "name", str(d.Name.String()))
	put(o, "name_suffixes", list(d.Name.Suffixes()))
	put(o, "type", str(d.Type))
	if rd := d.Name.RegisteredDomain(); rd != "" {
		put(o, "registered_domain", str(rd))
	}
	return o
}

func (b inputBuilder) destination(q *policy.Question) ast.Value {
	d := q.Destination
	h := d.Addr.Host()
	o := ast.NewObject()
	put(o, "host", str(h.String()))
	put(o, "port", ast.IntNumberTerm(int(d.Addr.Port())))
	put(o, "scheme", str(d.Scheme))
	put(o, "protocol", str(d.Protocol))
	if b.wants("destination", "host_suffixes") {
		var ts []*ast.Term
		for _, s := range h.Suffixes() {
			ts = append(ts, str(s))
		}
		put(o, "host_suffixes", ast.ArrayTerm(ts...))
	}
	if b.wants("destination", "registered_domain") {
		if rd := h.RegisteredDomain(); rd != "" {
			put(o, "registered_domain", str(rd))
		}
	}
	a := ast.NewObject()
	for k, v := range map[string]string{"connect": d.Connect, "sni": d.SNI, "host": d.Host} {
		if v != "" {
			put(a, k, str(v))
		}
	}
	put(o, "authority", ast.NewTerm(a))
	return o
}

func (b inputBuilder) request(r *policy.RequestFacts) ast.Value {
	o := ast.NewObject()
	put(o, "method", str(r.Method))
	put(o, "path", str(r.Path))
	put(o, "path_raw", str(r.PathRaw))
	var segs []*ast.Term
	for _, s := range r.Segments {
		segs = append(segs, str(s))
	}
	put(o, "segments", ast.ArrayTerm(segs...))
	if b.wants("request", "query") {
		q := ast.NewObject()
		for k, vs := range r.Query {
			put(q, k, list(vs))
		}
		put(o, "query", ast.NewTerm(q))
	}
	if b.wants("request", "headers") {
		put(o, "headers", headers(r.Header))
	}
	if r.GRPC != nil {
		g := ast.NewObject()
		put(g, "service", str(r.GRPC.Service))
		put(g, "method", str(r.GRPC.Method))
		put(o, "grpc", ast.NewTerm(g))
	}
	b.body(o, "request", r.Size, r.ContentType, r.Body, r.BodyState)
	return o
}

func (b inputBuilder) body(o ast.Object, of string, size int64, contentType string, body any, state policy.BodyState) {
	if contentType != "" {
		put(o, "content_type", str(contentType))
	}
	if state == "" {
		state = policy.BodyNone
	}
	put(o, "body_state", str(string(state)))
	if size >= 0 {
		put(o, "size", ast.NumberTerm(json.Number(strconv.FormatInt(size, 10))))
	}
	if state == policy.BodyParsed && b.wants(of, "body") {
		if v, err := ast.InterfaceToValue(body); err == nil {
			put(o, "body", ast.NewTerm(v))
		}
	}
}

// headers are by lower-case name.
func headers(h http.Header) *ast.Term {
	o := ast.NewObject()
	for k, vs := range h {
		put(o, strings.ToLower(k), list(vs))
	}
	return ast.NewTerm(o)
}

func list(vs []string) *ast.Term {
	ts := make([]*ast.Term, 0, len(vs))
	for _, v := range vs {
		ts = append(ts, str(v))
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
	}
	if r := q.Response; r != nil && q.Phase == policy.Response {
		add(responseBodyRef, responseSizeRef, r.Size, r.BodyState)
	}
	if m := q.Message; m != nil && q.Phase == policy.Message {
		add(messageBodyRef, messageSizeRef, m.Size, m.BodyState)
	}
	return out
}
