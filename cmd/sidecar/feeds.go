package sidecar

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"sallyport/policy/bundle"
	"sallyport/policy/rego"
)

// A feed is a policy that is fetched: what is in force of it, and who asks for more.
type feed struct {
	by       *fedBy
	policy   *rego.Policy // nil: there is no good bundle yet
	here     bool         // it is from this source: what comes next must not be older
	sum      string       // of the bundle that it was made of
	etag     string
	restored bool  // it was kept over the restart, and the source has not said anything yet
	failed   error // why what was kept is not used

	poller *bundle.Poller
	stop   context.CancelFunc
	told   string // what was recorded last
}

// feeds are those of a sidecar, by the names of policies. What they hold changes
// under the sidecar's lock, and is read under their own. The zero feeds have to be
// told where the state is.
type feeds struct {
	dir string // where the last good ones are kept

	mu sync.Mutex
	by map[string]*feed
}

// at says where the state is, once.
func (fs *feeds) at(state string) {
	if fs.dir == "" {
		fs.dir, fs.by = filepath.Join(state, "bundles"), map[string]*feed{}
	}
}

// now is what a configuration has of a feed: the policy in force when the same keys
// count, else the one that was kept, judged anew.
func (fs *feeds) now(ctx context.Context, by *fedBy) *feed {
	fs.mu.Lock()
	if was := fs.by[by.name]; was != nil && was.policy != nil && was.by.verify.Same(by.verify) {
		defer fs.mu.Unlock()
		if was.by.url != by.url { // until the other source has one
			return &feed{by: by, policy: was.policy}
		}
		return &feed{by: by, policy: was.policy, here: was.here, sum: was.sum, etag: was.etag, restored: was.restored, told: was.told}
	}
	fs.mu.Unlock()
	out := &feed{by: by}
	k, err := bundle.ReadKept(fs.dir, by.name, by.limit)
	switch {
	case err != nil:
		out.failed = err
	case k == nil || k.Source != by.url:
	default:
		if out.policy, err = by.load(ctx, k.Bytes); err != nil {
			out.failed = err
			break
		}
		out.here, out.sum, out.etag, out.restored = true, k.Sum, k.ETag, true
	}
	return out
}

// load makes a policy of a bundle.
func (b *fedBy) load(ctx context.Context, archive []byte) (*rego.Policy, error) {
	return rego.Load(ctx, rego.Options{Name: b.name, Archive: archive, Verify: b.verify, MaxBytes: b.limit})
}

// keep makes a bundle the last good one.
func (fs *feeds) keep(f *feed, b *bundle.Bundle) error {
	return bundle.Keep(fs.dir, &bundle.Kept{Policy: f.by.name, Source: f.by.url, ETag: b.ETag, Digest: f.policy.Digest(), Taken: time.Now(), Bytes: b.Bytes})
}

// of is a feed by the name of its policy, nil when there is none.
func (fs *feeds) of(name string) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.by[name]
}

// feed asks for what a plan says, from now on, and for nothing else. The caller
// holds the sidecar's lock.
func (s *sidecar) feed(ctx context.Context, p *plan) {
	fs := s.feeds
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for name, was := range fs.by {
		if is := p.feeds[name]; is == nil || is.by.said != was.by.said || !is.by.verify.Same(was.by.verify) {
			was.stop()
			delete(fs.by, name)
		}
	}
	for name, f := range p.feeds {
		if fs.by[name] != nil {
			continue
		}
		fctx, stop := context.WithCancel(ctx)
		f.stop = stop
		fs.by[name] = f
		o := f.by.poll
		o.Source, o.ETag, o.Sum = f.by.source, f.etag, f.sum
		o.Take = func(ctx context.Context, b *bundle.Bundle) error { return s.take(ctx, f, b) }
		o.Told = func(ev bundle.Event, st bundle.Status) { s.fedTold(fctx, f, ev, st) }
		f.poller = bundle.Poll(fctx, o)
	}
}

// starve ends all asking.
func (s *sidecar) starve() {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	for _, f := range s.feeds.by {
		f.stop()
	}
}

// lacking says of which policies there is no good bundle.
func (p *plan) lacking() (out []string) {
	for _, c := range p.file.Policies {
		if p.feeds[c.Name.S] != nil && p.policies[c.Name.S] == nil {
			out = append(out, c.Name.S)
		}
	}
	return out
}

// errGone is that nobody wants a bundle any more.
var errGone = errors.New("the configuration says otherwise by now")
