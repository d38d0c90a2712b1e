package bundle_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/origin/bundles"
	"sallyport/policy/bundle"
)

// A listener hears what comes of requests.
type listener struct {
	mu     sync.Mutex
	events []bundle.Event
	taken  []string
	refuse func(*bundle.Bundle) error
}

func (l *listener) take(_ context.Context, b *bundle.Bundle) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		if err := l.refuse(b); err != nil {
			return err
		}
	}
	l.taken = append(l.taken, b.Sum())
	return nil
}

func (l *listener) told(ev bundle.Event, _ bundle.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
}

// until waits for events of a kind since some were heard.
func (l *listener) until(t *testing.T, since int, ev bundle.Event) int {
	t.Helper()
	for range 1000 {
		l.mu.Lock()
		i := slices.Index(l.events[min(since, len(l.events)):], ev)
		n := len(l.events)
		l.mu.Unlock()
		if i >= 0 {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Fatalf("no %s after %d: %v", ev, since, l.events)
	return 0
}

func version(n string) []byte {
	return bundles.Files{"a.rego": "package egress\n\n# " + n + "\nallow := true\n"}.Pack()
}

// A source is asked for what is new, once taken or refused it is not sent again,
// and what goes wrong is seen until it goes well.
func TestPoller(t *testing.T) {
	s := bundles.Serve()
	defer s.Down()
	bad := version("bad")
	l := &listener{refuse: func(b *bundle.Bundle) error {
		if string(b.Bytes) == string(bad) {
			return &bundle.Error{Code: bundle.BadPolicy, Err: errors.New("a mistake")}
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Publish(version("1"), `"1"`)
	p := bundle.Poll(ctx, bundle.Options{Source: from(t, s, s.URL("/b"), nil), Min: 20 * time.Millisecond, Max: 30 * time.Millisecond, Take: l.take, Told: l.told})
	at := l.until(t, 0, bundle.Taken)
	at = l.until(t, at, bundle.Unchanged)
	s.Publish(bad, `"2"`)
	at = l.until(t, at, bundle.Refused)
	at = l.until(t, at, bundle.Refused)
	if st := p.Status(); st.Err == nil || st.Err.Code != bundle.BadPolicy || st.Activated.IsZero() {
		t.Errorf("%+v", st)
	}
	s.Wrong(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", 500) })
	at = l.until(t, at, bundle.Failed)
	if st := p.Status(); st.Err == nil || st.Err.Code != bundle.BadStatus || st.Status != 500 {
		t.Errorf("%+v", st)
	}
	s.Publish(bad, `"2"`)
	at = l.until(t, at, bundle.Refused)
	if st := p.Status(); st.Err == nil || st.Err.Code != bundle.BadPolicy {
		t.Errorf("what is refused is forgotten: %+v", st)
	}
	s.Publish(version("1"), `"1"`)
	at = l.until(t, at, bundle.Unchanged)
	if st := p.Status(); st.Err != nil || st.Sum != (&bundle.Bundle{Bytes: version("1")}).Sum() {
		t.Errorf("%+v", st)
	}
	s.Publish(version("2"), "") // without a tag it is sent each time, and compared
	at = l.until(t, at, bundle.Taken)
	l.until(t, at, bundle.Unchanged)
	cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.taken) != 2 {
		t.Errorf("taken %v", l.taken)
	}
	sent := map[string]int{}
	for _, r := range s.Seen() {
		sent[r.Header.Get("If-None-Match")]++
	}
	if sent[`"1"`] < 2 || sent[`"2"`] < 2 {
		t.Errorf("asked with %v", sent)
	}
}

// A source that waits is asked to, answers when there is something, and is not
// asked in between.
func TestLongPolling(t *testing.T) {
	s := bundles.Serve()
	defer s.Down()
	s.Waits(true)
	l := &listener{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Publish(version("1"), `"1"`)
	p := bundle.Poll(ctx, bundle.Options{Source: from(t, s, s.URL("/b"), nil), Min: time.Hour, Wait: 30 * time.Second, Take: l.take, Told: l.told})
	at := l.until(t, 0, bundle.Taken)
	if !p.Status().Waits {
		t.Errorf("%+v", p.Status())
	}
	for range 500 { // the next request waits
		if len(s.Seen()) == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	if n := len(s.Seen()); n != 2 {
		t.Fatalf("%d requests", n)
	}
	s.Publish(version("2"), `"2"`)
	l.until(t, at, bundle.Taken)
	// One that says it waits, and answers at once, is not asked again and again.
	s.Wrong(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", bundle.Waiting)
		w.WriteHeader(http.StatusNotModified)
	})
	n := len(s.Seen())
	time.Sleep(1500 * time.Millisecond)
	if n = len(s.Seen()) - n; n > 2 {
		t.Errorf("%d requests in a moment", n)
	}
}
