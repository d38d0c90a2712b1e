package credentials

import "context"

// refusable is a source that wants to know that what it gave was turned down.
type refusable interface {
	Refused(p Params, version string) bool
}

// Refused says that the destination turned down what was put on the request. It
// reports whether there is something else to be put on, and puts it on r, from which
// what was there is taken: never the same again, and of a source that keeps what it
// gave not twice in ten seconds.
func (g *Grant) Refused(ctx context.Context, r *Request) (bool, error) {
	changed := false
	for i := range g.items {
		it := &g.items[i]
		if g.store.Revoked(it.b.Name) {
			return false, nil
		}
		if s, ok := it.b.Source.(refusable); ok && !s.Refused(it.p, it.v.Version) {
			continue
		}
		if r == nil { // the next request has it
			continue
		}
		fetch := it.b.Source.Fetch
		if s, ok := it.b.Source.(interface {
			Try(context.Context, Params) (Value, error)
		}); ok {
			fetch = s.Try
		}
		v, err := fetch(ctx, it.p)
		if err != nil {
			return false, err
		}
		if v.Version != it.v.Version && !v.same(it.v) {
			it.v, changed = v, true
			g.store.learn(it.b, it.p, v)
		}
	}
	if !changed {
		return false, nil
	}
	names := make([]string, 0, len(g.items))
	g.store.strip(g.target, r)
	for _, it := range g.items {
		names = append(names, it.b.Name)
		if err := it.b.Place.placer().put(r, it.v); err != nil {
			return false, err
		}
	}
	g.find = g.store.finder(names, g.target)
	return true, nil
}
