package credentials

import (
	"net/http"
	"strings"
)

// A Grant is the credentials of one request. It is for one goroutine.
type Grant struct {
	store  *Store
	target Target
	items  []item
	find   *patterns
	grpc   bool            // the request is one of gRPC
	room   Room            // for what is held of its answer; nil does not bound it
	client map[string]bool // places at which the client had a value of its own
}

type item struct {
	b *Binding
	v Value
	p Params
}

// A Use is what a record says of a credential.
type Use struct{ Name, Kind, Version, Source, Place, Client string }

// Uses returns what was put on the request.
func (g *Grant) Uses() []Use {
	var out []Use
	for _, it := range g.items {
		u := Use{it.b.Name, string(it.b.Place.Kind), it.v.Version, it.b.Source.String(), it.b.Place.String(), "none"}
		if g.client[u.Place] {
			u.Client = "stripped"
		}
		out = append(out, u)
	}
	return out
}

// Silent reports whether nothing of what was put on the request can come back, so that
// its answer need not be searched.
func (g *Grant) Silent() bool { return g.find == nil }

// Apply strips the client's values from the places of everything that is bound
// to the target, then puts the secrets in theirs. The body that the request has then
// may be another one.
func (g *Grant) Apply(r *Request) error {
	for _, it := range g.items {
		if err := g.store.admits(it.b, it.v, g.target, r); err != nil {
			return err
		}
	}
	g.client = map[string]bool{}
	for _, p := range g.store.strip(g.target, r) {
		g.client[p] = true
	}
	for _, it := range g.items {
		if err := it.b.Place.placer().put(r, it.v); err != nil {
			return err
		}
	}
	return g.store.misplaced(g.target, r)
}

// PrepareRequest asks for an answer that can be searched: whole and uncoded.
func (g *Grant) PrepareRequest(h http.Header) {
	g.grpc = isGRPC(h)
	for _, k := range []string{"Range", "If-Range", "Request-Range", "X-Ms-Range", "X-Goog-Range", "A-Im", "Want-Digest", "Want-Content-Digest", "Want-Repr-Digest"} {
		h.Del(k)
	}
	h.Set("Accept-Encoding", "identity")
	for _, k := range messageCodings {
		if len(h[k.accepts]) > 0 || g.grpc && k.accepts == "Grpc-Accept-Encoding" {
			h[k.accepts] = []string{"identity"}
		}
	}
}

// isGRPC reports whether a body is made of messages with their lengths before them.
func isGRPC(h http.Header) bool {
	t, _, _ := strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
	t, _, _ = strings.Cut(strings.TrimSpace(t), "+")
	return t == "application/grpc" || t == "application/grpc-web"
}

// ScrubHeader takes the secrets out of header or trailer values, and drops a
// field whose name holds one. It returns how many it found.
func (g *Grant) ScrubHeader(h http.Header) int {
	n := g.store.answered(g.target, h)
	for k, vs := range h {
		if _, hit := g.find.replace([]byte(k)); hit > 0 {
			delete(h, k)
			n += hit
			continue
		}
		for i, v := range vs {
			if out, hit := g.find.replace([]byte(v)); hit > 0 {
				vs[i] = string(out)
				n += hit
			}
		}
	}
	return n
}
