package rego

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// paths are all that a request's phase can read, alone and as wholes.
var paths = []string{
	"input", "input.sandbox", "input.sandbox.labels.team", "input.sandbox.props", "input.sandbox.name", "input.destination", "input.destination.host", "input.destination.host_suffixes",
	"input.destination.registered_domain", "input.destination.port", "input.destination.scheme", "input.destination.protocol", "input.destination.authority", "input.destination.authority.sni",
	"input.request", "input.request.method", "input.request.path", "input.request.path_raw", "input.request.segments", "input.request.segments[0]", "input.request.query", "input.request.query.q",
	"input.request.headers", "input.request.headers.accept", "input.request.size", "input.request.content_type", "input.request.body", "input.request.body.a", "input.request.body_state", "input.request.form", "input.request.form.a", "input.request.multipart", "input.request.graphql", "input.request.graphql[0].type", "input.request.rpc", "input.request.rpc[0].method", "input.request.grpc", "input.request.grpc.service",
}

// any question out of few values, so that many differ in one part only.
func randomQuestion(r *rand.Rand, boxes []*sandbox.Sandbox) *policy.Question {
	pick := func(vs ...string) string { return vs[r.IntN(len(vs))] }
	a, err := dest.ParseAddr(pick("a.example.com", "b.example.com", "example.com", "a.co.uk") + ":" + pick("443", "80"))
	if err != nil {
		panic(err)
	}
	path := pick("/", "/x", "/x/y", "/x%2Fy")
	q := &policy.Question{Phase: policy.Request, Sandbox: boxes[r.IntN(len(boxes))], Destination: policy.Destination{Addr: a, Scheme: pick("http", "https"), Protocol: pick("h2", "http/1.1"), SNI: pick("", "a.example.com"), Host: pick("a.example.com", "")}}
	q.Request = &policy.RequestFacts{Method: pick("GET", "POST"), Path: path, PathRaw: path, Segments: strings.Split(path[1:], "/"), ContentType: pick("", "application/json", "application/grpc"), BodyState: policy.BodyNone}
	if r.IntN(3) == 0 {
		q.Request.GRPC = &policy.GRPC{Service: pick("a.B", "a.C"), Method: pick("Get", "Set")}
	}
	switch r.IntN(4) {
	case 0:
		q.Request.Query = map[string][]string{"q": {pick("1", "2")}}
	case 1:
		q.Request.Query = map[string][]string{"q": {"1", "2"}, "p": {pick("1", "2")}}
	}
	q.Request.Header = http.Header{}
	for _, k := range []string{"Accept", "X-A"} {
		for range r.IntN(3) {
			q.Request.Header.Add(k, pick("a", "b", "", "a, b"))
		}
	}
	switch r.IntN(6) {
	case 0:
		q.Request.BodyState, q.Request.Size = policy.BodyParsed, int64(7+r.IntN(2))
		randomBody(r, q.Request)
	case 1:
		q.Request.BodyState, q.Request.Size = policy.BodyTruncated, -1
	case 2:
		q.Request.BodyState, q.Request.Size = policy.BodyUnparsed, 9
		if r.IntN(2) == 0 {
			q.Request.Form = map[string][]string{"a": {pick("1", "2")}}
		}
	case 3: // GraphQL in the query
		if q.Request.GraphQL = []policy.Operation{{Type: pick("query", "mutation"), Fields: []string{"a"}}}; r.IntN(3) == 0 {
			q.Request.GraphQL, q.Request.Hidden = nil, policy.ViewGraphQL
		}
	}
	return q
}

// randomBody is a body of which something is known.
func randomBody(r *rand.Rand, f *policy.RequestFacts) {
	pick := func(vs ...string) string { return vs[r.IntN(len(vs))] }
	f.Body, f.Views = map[string]any{"a": pick("1", "2")}, policy.Views{}
	if r.IntN(2) == 0 {
		f.Form = map[string][]string{"a": {pick("1", "2")}, pick("b", "c"): {"x"}}
	}
	if r.IntN(2) == 0 {
		text := pick("1", "2")
		f.Multipart = []policy.Part{{Name: pick("a", "b"), Size: 1, Value: &text}, {Name: "f", Filename: pick("x", "y"), IsFile: true, ContentType: "text/plain"}}
	}
	if r.IntN(2) == 0 {
		f.GraphQL = []policy.Operation{{Type: pick("query", "mutation"), Name: pick("", "A"), Fields: []string{pick("a", "b")}}}
	}
	if r.IntN(2) == 0 {
		f.RPC = []policy.Call{{Kind: "request", Method: pick("ping", "tools/call"), Tool: pick("", "rm"), ID: json.Number("1"), Params: map[string]any{"name": pick("rm", "ls")}}}
	}
}

// What is kept is what evaluation would say again: for each part that a policy
// can read, alone, and for wholes of them.
func TestCacheIsSound(t *testing.T) {
	boxes := []*sandbox.Sandbox{{ID: "1", Name: "a", Labels: map[string]string{"team": "web"}, Props: map[string]any{"n": 1}}, {ID: "1", Name: "a", Labels: map[string]string{"team": "ops"}, Props: map[string]any{"n": 1}},
		{ID: "1", Name: "a", Labels: map[string]string{"team": "web"}, Props: map[string]any{"n": 2}}}
	rounds := 400
	for i, path := range paths {
		text := fmt.Sprintf("package egress\n\nallow if true\n\nreasons contains json.marshal(%s)\n", path)
		dir := write(t, map[string]string{"p.rego": text})
		with, err := Load(t.Context(), Options{Name: "p", Dir: dir, Deadline: time.Minute})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		without, err := Load(t.Context(), Options{Name: "p", Dir: dir, Uncached: true, Deadline: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(uint64(i), 1))
		var wg sync.WaitGroup
		for range 2 {
			seed := r.Uint64()
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 2))
				for range rounds {
					q := randomQuestion(r, boxes)
					got, want := with.Decide(t.Context(), q), without.Decide(t.Context(), q)
					plain := *got
					got = &plain
					got.Took, want.Took, got.Cached = 0, 0, false
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: %+v\n is decided as\n%+v, kept as\n%+v", path, q.Request, want, got)
						return
					}
				}
			})
		}
		wg.Wait()
		x := with.phases[policy.Request]
		if x.parts == nil || len(x.kept.now) == 0 {
			t.Errorf("%s: nothing is kept", path)
		}
	}
}

// A decision that can change by itself is not kept, nor is an error.
func TestNotKept(t *testing.T) {
	for _, text := range []string{
		"package egress\n\nallow if time.now_ns() > 0\n",
		"package egress\n\nimport data.lib\n\nallow if lib.day\n",
		"package egress\n\nallow if {\n\tsome i in numbers.range(1, 100000)\n\ti == -1\n}\n",
	} {
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, map[string]string{"p.rego": text, "l.rego": "package lib\n\nday if time.weekday(time.now_ns()) != \"\"\n"})})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p.Decide(t.Context(), question(t))
		}
		if x := p.phases[policy.Request]; x.kept != nil && len(x.kept.now) != 0 {
			t.Errorf("kept: %s", text)
		}
	}
}

// A flood of questions does not fill the memory.
func TestCacheIsBounded(t *testing.T) {
	p := load(t, "package egress\n\nallow if input.request.path == \"/\"\n")
	q := question(t)
	for i := range 20_000 {
		q.Request.Path = fmt.Sprintf("/%d", i)
		p.Decide(t.Context(), q)
	}
	if x := p.phases[policy.Request]; x.kept.size > cacheBytes || len(x.kept.now)+len(x.kept.old) > 2*cacheBytes/512 {
		t.Errorf("%d bytes, %d and %d", x.kept.size, len(x.kept.now), len(x.kept.old))
	}
}
