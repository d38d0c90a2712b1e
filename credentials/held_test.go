package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// issuer is a source that takes its time, and can fail.
type issuer struct {
	asked, atOnce, most atomic.Int64
	takes               time.Duration
	life                time.Duration
	fails               atomic.Bool
	hangs               atomic.Bool
	closed              atomic.Bool
}

func (s *issuer) String() string  { return "test:issuer" }
func (s *issuer) Takes() []string { return []string{"repository"} }
func (s *issuer) Close() error    { s.closed.Store(true); return nil }

func (s *issuer) Fetch(ctx context.Context, p Params) (Value, error) {
	n := s.asked.Add(1)
	s.most.Store(max(s.most.Load(), s.atOnce.Add(1)))
	defer s.atOnce.Add(-1)
	if s.hangs.Load() {
		<-ctx.Done()
		return Value{}, ctx.Err()
	}
	time.Sleep(s.takes)
	if s.fails.Load() {
		return Value{}, errors.New("test:issuer: it is down")
	}
	secret, err := NewSecret(fmt.Appendf(nil, "token-%s-%d", p["repository"], n))
	v := Value{Secret: secret}
	if s.life > 0 {
		v.Expires = time.Now().Add(s.life)
	}
	return v, err
}

func TestHeldAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{takes: time.Second}
		h := Hold(src, Terms{})
		defer h.Close()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if v, err := h.Fetch(t.Context(), nil); err != nil || v.Version != "1" {
					t.Errorf("version %q, %v", v.Version, err)
				}
			})
		}
		wg.Wait()
		if n := src.asked.Load(); n != 1 {
			t.Errorf("200 at once asked %d times", n)
		}
		for i := range 100 {
			if _, err := h.Fetch(t.Context(), Params{"repository": fmt.Sprint(i % 4)}); err != nil {
				t.Error(err)
			}
		}
		if n := src.asked.Load(); n != 5 {
			t.Errorf("four choices were asked for %d times", n-1)
		}
	})
}

// A value is fetched anew before it ends, without anybody waiting, and is not
// used after its end.
func TestHeldRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{takes: time.Second, life: 100 * time.Second}
		h := Hold(src, Terms{})
		defer h.Close()
		get := func() (string, time.Duration, error) {
			start := time.Now()
			v, err := h.Fetch(t.Context(), nil)
			return v.Version, time.Since(start), err
		}
		if v, took, err := get(); v != "1" || took != time.Second || err != nil {
			t.Fatal(v, took, err)
		}
		time.Sleep(81 * time.Second)
		if v, took, err := get(); v != "1" || took != 0 || err != nil {
			t.Errorf("the old one is good while a new one is fetched: %q after %s, %v", v, took, err)
		}
		time.Sleep(2 * time.Second)
		if v, took, err := get(); v != "2" || took != 0 || err != nil {
			t.Errorf("the new one: %q after %s, %v", v, took, err)
		}
		src.fails.Store(true)
		time.Sleep(90 * time.Second)
		if v, took, err := get(); v != "2" || took != 0 || err != nil {
			t.Errorf("an issuer that is down takes nothing away before the end: %q after %s, %v", v, took, err)
		}
		time.Sleep(10 * time.Second)
		if v, _, err := get(); err == nil {
			t.Errorf("%q was used after its end", v)
		}
		src.fails.Store(false)
		time.Sleep(maxRest)
		if v, _, err := get(); v != "3" || err != nil {
			t.Errorf("after the issuer came back: %q, %v", v, err)
		}
	})
}

// However an issuer fails, waiting is bounded, it is asked seldom, and all is
// well when it is.
func TestHeldOfAFailingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{}
		src.hangs.Store(true)
		h := Hold(src, Terms{Timeout: 5 * time.Second})
		defer h.Close()
		start := time.Now()
		_, err := h.Fetch(t.Context(), nil)
		if took := time.Since(start); err == nil || took != 5*time.Second || !strings.Contains(err.Error(), "no answer within 5s") {
			t.Errorf("an issuer that hangs: after %s: %v", took, err)
		}
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err = h.Fetch(ctx, Params{"repository": "a"}); err == nil || time.Since(start) != 100*time.Millisecond {
			t.Errorf("a client that gives up waits no longer: %s: %v", time.Since(start), err)
		}
		cancel()
		src.hangs.Store(false)
		src.fails.Store(true)
		before := src.asked.Load()
		for range 6000 { // ten requests a second for ten minutes
			if _, err := h.Fetch(t.Context(), nil); err == nil {
				t.Fatal("there is a value")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := src.asked.Load() - before; n < 15 || n > 40 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		for i := range 100 {
			_, _ = h.Fetch(t.Context(), Params{"repository": fmt.Sprint(i)})
		}
		if n := src.asked.Load() - before; n > 42 {
			t.Errorf("other choices asked an issuer that is down: %d times", n)
		}
		src.fails.Store(false)
		time.Sleep(maxRest)
		if v, err := h.Fetch(t.Context(), nil); err != nil || v.Version != "1" {
			t.Errorf("when it is back: %q, %v", v.Version, err)
		}
		if n := src.most.Load(); n > 2 {
			t.Errorf("%d fetches at once", n)
		}
	})
}

func TestHeldRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{}
		h := Hold(src, Terms{})
		v, err := h.Fetch(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Refused(nil, v.Version) {
			t.Error("no other one for what was refused")
		}
		if same, err := h.Fetch(t.Context(), nil); err != nil || same.Version != v.Version {
			t.Error("what was refused to one is taken from all", same.Version, err)
		}
		w, _ := h.Try(t.Context(), nil)
		if w.Version == v.Version || !h.Refused(nil, v.Version) {
			t.Errorf("version %s after %s", w.Version, v.Version)
		}
		for range 100 {
			h.Refused(nil, w.Version)
			w, _ = h.Fetch(t.Context(), nil)
		}
		synctest.Wait()
		if n := src.asked.Load(); n != 2 {
			t.Errorf("100 refusals had it asked %d times", n)
		}
		_ = h.Close()
		if !src.closed.Load() {
			t.Error("the source gives nothing back")
		}
		h.Expire()
		if _, err := h.Fetch(t.Context(), nil); err == nil {
			t.Error("it is asked after its end")
		}
	})
}

// Who asks for what there is not has the source left alone for nobody else.
func TestHeldOfWrongChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{}
		h := Hold(src, Terms{})
		defer h.Close()
		src.fails.Store(true)
		for i := range 50 {
			if _, err := h.Fetch(t.Context(), Params{"repository": fmt.Sprint("none-", i)}); err == nil {
				t.Fatal("there is one")
			}
		}
		src.fails.Store(false)
		if _, err := h.Fetch(t.Context(), Params{"repository": "good"}); err != nil {
			t.Error(err)
		}
	})
}

// Choices without end are forgotten, and are not all fetched at once.
func TestHeldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &issuer{takes: time.Second}
		h := Hold(src, Terms{Choices: 8})
		defer h.Close()
		var wg sync.WaitGroup
		var turned atomic.Int64
		for i := range 100 {
			wg.Go(func() {
				if _, err := h.Fetch(t.Context(), Params{"repository": fmt.Sprint(i)}); err != nil {
					turned.Add(1)
				}
			})
		}
		wg.Wait()
		if most, n := src.most.Load(), turned.Load(); most != maxUnderway || n != 100-maxUnderway {
			t.Errorf("%d at once, %d turned down", most, n)
		}
		for i := range 100 {
			_, _ = h.Fetch(t.Context(), Params{"repository": fmt.Sprint(i)})
		}
		if len(h.kept) != 8 || h.order.Len() != 8 {
			t.Errorf("%d choices are kept", len(h.kept))
		}
	})
}

// What two configurations say alike is one source, until neither uses it.
func TestShared(t *testing.T) {
	var all Shared
	var opened []*issuer
	open := func() (Source, Terms, error) {
		opened = append(opened, &issuer{})
		return opened[len(opened)-1], Terms{}, nil
	}
	take := func(l *Lease, said string) *Held {
		h, err := l.Take(said, open)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	old, next := all.Lease(), all.Lease()
	a := take(old, "a")
	take(old, "b")
	if take(next, "a") != a || len(opened) != 2 {
		t.Errorf("%d were opened for what is said alike", len(opened))
	}
	if err := old.Close(); err != nil || opened[0].closed.Load() || !opened[1].closed.Load() {
		t.Error("what is used goes on, what is not is closed", err)
	}
	if err := errors.Join(old.Close(), next.Close()); err != nil || !opened[0].closed.Load() || len(all.by) != 0 {
		t.Error("something is left", err)
	}
	if _, err := all.Lease().Take("c", func() (Source, Terms, error) { return nil, Terms{}, errors.New("no") }); err == nil || len(all.by) != 0 {
		t.Error("what cannot be opened is held")
	}
}
