package proxy

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"sallyport/credentials"
	"sallyport/proxy/canon"
)

// equip takes the client's own credentials off what is bound and puts ours on,
// where policy asked for them. From here on the header is another one than
// policy sees in later phases: secrets are in it.
func (x *exchange) equip() error {
	x.r.Header = x.r.Header.Clone()
	for _, h := range x.decision.Owned {
		canon.Delete(x.r.Header, h)
	}
	for _, h := range x.decision.Remove {
		canon.Delete(x.r.Header, h)
	}
	for _, h := range x.decision.Set {
		canon.Delete(x.r.Header, h.Name)
		x.r.Header.Set(h.Name, h.Value)
	}
	if x.edited {
		unsigned(x.r.Header)
	}
	t := credentials.Target{Addr: x.final, Scheme: x.fscheme, Method: x.r.Method, Path: x.prefix + x.facts.PathRaw, Labels: x.ward.sb.Labels}
	asks := x.credentials()
	if x.over != nil { // credentials are those of where it was meant to go
		if err := x.context(); err != nil {
			return err
		}
		t.Addr, t.Scheme, t.Path = x.target, x.scheme, x.facts.PathRaw
		if !x.over.Credentials {
			asks = nil
		}
	}
	if x.blind() {
		asks = nil
	}
	t.Sandbox = x.ward.sb.ID
	var g *credentials.Grant
	var err error
	put := func(r *credentials.Request) (err error) { x.stripped, err = x.ward.keys.Strip(t, r); return err }
	if len(asks) > 0 {
		if g, err = x.ward.keys.Grant(x.r.Context(), t, asks); err != nil {
			return err
		}
		put = g.Apply
	}
	if err := x.put(t, g, put); err != nil {
		return err
	}
	if g == nil {
		g = x.srv.cfg.Credentials.Watch(t)
	}
	if g != nil {
		x.watch(g)
	}
	return nil
}

// put puts what was granted on the request, for which its body may have to be here.
func (x *exchange) put(t credentials.Target, g *credentials.Grant, put func(*credentials.Request) error) error {
	r := &credentials.Request{Method: x.r.Method, Host: x.hostField(), Path: t.Path, URL: x.r.URL, Header: x.r.Header, Room: room{x}}
	if x.body == nil {
		return put(r)
	}
	size := x.r.ContentLength
	if x.whole != nil {
		size = int64(len(x.whole))
	}
	r.Body, r.Size = x.body.Reader, size
	if g != nil && g.NeedsBody() || size >= 0 && size <= credentials.Peek {
		_ = x.rc.SetReadDeadline(time.Now().Add(x.srv.cfg.Patience.Inspect))
		defer func() { _ = x.rc.SetReadDeadline(time.Time{}) }()
	}
	err := put(r)
	var placing *credentials.Error
	var ref *Refusal
	switch {
	case err == nil:
		x.body.Reader, x.resized, x.size = r.Body, x.resized || r.Size != size, r.Size
		return nil
	case errors.As(err, &placing), errors.As(err, &ref):
		return err
	case late(x.r.Context(), err):
		return stalled().because(err)
	}
	return refuse(http.StatusBadRequest, "body_unreadable", "the body could not be read").because(err).closing()
}

// hostField is the authority that the upstream is told.
func (x *exchange) hostField() string {
	if x.bound.AsInside {
		return x.target.Authority(x.scheme)
	}
	return x.final.Authority(x.fscheme)
}

// watch has the answer searched for the secrets of a grant.
func (x *exchange) watch(g *credentials.Grant) {
	if x.used = g; g.Silent() {
		return
	}
	g.PrepareRequest(x.r.Header)
	g.Within(room{x})
	x.grant = g
}

// blind reports whether what proves who asks stays here, since nobody here will
// know where the request goes.
func (x *exchange) blind() bool {
	return x.ward.reach.parent(x.final).withholds(x.final)
}

// credentials are those that policy asks for, and that of the binding.
func (x *exchange) credentials() []credentials.Ask {
	asks := make([]credentials.Ask, 0, len(x.decision.Credentials)+1)
	for _, c := range x.decision.Credentials {
		asks = append(asks, credentials.Ask{Name: c.Name, Params: c.Params})
	}
	if n := x.bound.Credential; n != "" && !slices.ContainsFunc(asks, func(a credentials.Ask) bool { return a.Name == n }) {
		asks = append(asks, credentials.Ask{Name: n})
	}
	return asks
}
