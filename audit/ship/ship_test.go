package ship

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/audit"
)

// taker is a receiver that can be down, or dislike a record.
type taker struct {
	mu       sync.Mutex
	got      []Record
	down     bool
	dislikes string // what it rejects has this in it
	names    bool   // it says which
	batches  int
}

func (k *taker) String() string { return "test" }
func (k *taker) Close() error   { return nil }

func (k *taker) Send(_ context.Context, rs []Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.batches++
	if k.down {
		return errors.New("it is down, and says s3cret")
	}
	var no RejectedError
	for i, r := range rs {
		if k.dislikes != "" && strings.Contains(string(r.Line), k.dislikes) {
			no.Which, no.Why = append(no.Which, i), "it dislikes that"
		}
	}
	if no.Why != "" && !k.names {
		no.Which = nil
		return &no
	}
	for i, r := range rs {
		if !slices.Contains(no.Which, i) {
			k.got = append(k.got, r)
		}
	}
	if no.Why != "" {
		return &no
	}
	return nil
}

func (k *taker) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *taker) sequences() (out []uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.got {
		out = append(out, r.Sequence)
	}
	return out
}

func newLog(t *testing.T, segment int64) (*audit.Log, string) {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Open(dir, audit.Options{SegmentBytes: segment, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, dir
}

func write(t *testing.T, l *audit.Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if _, err := l.Record(t.Context(), &audit.Event{Name: audit.RequestDecision, Request: &audit.Request{Method: "GET", Path: fmt.Sprintf("/%d", i)}, Decision: &audit.Decision{Effect: []string{"allow", "deny"}[i%2]}}); err != nil {
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, l *audit.Log, k Sink, o Options) *Shipper {
	t.Helper()
	s, err := Start(l, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func upTo(t *testing.T, l *audit.Log, s *Shipper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	end, _ := l.Durable()
	if err := s.Wait(ctx, end.Sequence); err != nil {
		t.Fatal(err, s.State())
	}
}

// All records arrive in order, through segments, restarts of the shipper, and
// times in which the receiver is down; after a restart some twice, never none.
func TestShipped(t *testing.T) {
	l, dir := newLog(t, 4<<10)
	k := &taker{}
	var mu sync.Mutex
	var changes []string
	o := Options{Name: "siem", Dir: filepath.Join(dir, "cursors"), Redact: func(s string) string { return strings.ReplaceAll(s, "s3cret", "…") }, Changed: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, fmt.Sprint(err))
	}}
	s := start(t, l, k, o)
	write(t, l, 0, 50)
	upTo(t, l, s)
	k.set(func() { k.down = true })
	write(t, l, 50, 50)
	for s.State().Err == "" {
		time.Sleep(5 * time.Millisecond)
	}
	if st := s.State(); st.Behind == 0 || strings.Contains(st.Err, "s3cret") || !strings.Contains(st.Err, "it is down") {
		t.Errorf("%+v", st)
	}
	k.set(func() { k.down = false })
	upTo(t, l, s)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, l, 100, 50)
	s = start(t, l, k, o)
	upTo(t, l, s)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	end, _ := l.Durable()
	got := k.sequences()
	if len(got) != int(end.Sequence) || !slices.IsSorted(got) || got[0] != 1 {
		t.Errorf("%d records of %d, sorted: %v", len(got), end.Sequence, slices.IsSorted(got))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(changes) != 2 || changes[1] != "<nil>" || strings.Contains(changes[0], "s3cret") {
		t.Error(changes)
	}
}

// A crash before the cursor was kept sends again; what is known by its id is there
// once.
func TestShippedAgain(t *testing.T) {
	l, dir := newLog(t, 4<<10)
	k := &taker{}
	o := Options{Name: "siem", Dir: filepath.Join(dir, "cursors")}
	s := start(t, l, k, o)
	write(t, l, 0, 60)
	upTo(t, l, s)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "siem.json"), []byte(`{"sequence":0,"segment":"","offset":0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, l, k, o)
	upTo(t, l, s)
	_ = s.Stop(t.Context())
	ids := map[string]int{}
	for _, r := range k.got {
		ids[r.ID]++
	}
	end, _ := l.Durable()
	if len(ids) != int(end.Sequence) || len(k.got) != 2*len(ids) {
		t.Errorf("%d ids in %d of %d records", len(ids), len(k.got), end.Sequence)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "siem.json"), []byte(`{"seq`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(l, k, o); err == nil || !strings.Contains(err.Error(), "remove it to send the whole log again") {
		t.Error(err)
	}
}

// hostile 161: what a receiver will never take is kept apart, with the reason, and
// holds nothing else up.
func TestRejected(t *testing.T) {
	for _, names := range []bool{true, false} {
		l, dir := newLog(t, 64<<10)
		k := &taker{dislikes: `"url.path":"/7`, names: names}
		var mu sync.Mutex
		var lost []uint64
		o := Options{Name: "siem", Dir: filepath.Join(dir, "cursors"), Lost: func(first, last uint64, why string) {
			mu.Lock()
			defer mu.Unlock()
			for n := first; n <= last; n++ {
				lost = append(lost, n)
			}
		}}
		write(t, l, 0, 100)
		s := start(t, l, k, o)
		upTo(t, l, s)
		_ = s.Stop(t.Context())
		end, _ := l.Durable()
		if got := k.sequences(); len(got) != int(end.Sequence)-11 || !slices.IsSorted(got) || s.State().Rejected != 11 {
			t.Errorf("%d of %d, %d rejected", len(got), end.Sequence, s.State().Rejected)
		}
		b, err := os.ReadFile(filepath.Join(o.Dir, "siem.rejected.ndjson"))
		if err != nil || strings.Count(string(b), "\n") != 11 || strings.Count(string(b), "it dislikes that") != 11 {
			t.Errorf("kept apart: %s %v", b, err)
		}
		mu.Lock()
		if len(lost) < 11 {
			t.Errorf("told of %v", lost)
		}
		mu.Unlock()
	}
}

// A sink gets what it wants, and its cursor goes over the rest.
func TestWants(t *testing.T) {
	l, dir := newLog(t, 4<<10)
	k := &taker{}
	s := start(t, l, k, Options{Name: "denied", Dir: filepath.Join(dir, "cursors"), Wants: func(r Record) bool { return r.Decision == "deny" },
		Format: func(b []byte) ([]byte, error) { return append([]byte("x "), b...), nil }})
	write(t, l, 0, 100)
	upTo(t, l, s)
	_ = s.Stop(t.Context())
	if len(k.got) != 50 || !strings.HasPrefix(string(k.got[0].Line), `x {"v":`) {
		t.Errorf("%d", len(k.got))
	}
}

// Segments that are gone are told of, and nothing waits for them.
func TestGone(t *testing.T) {
	l, dir := newLog(t, 4<<10)
	k := &taker{}
	var gaps []string
	o := Options{Name: "siem", Dir: filepath.Join(dir, "cursors"), Lost: func(first, last uint64, why string) { gaps = append(gaps, why) }}
	write(t, l, 0, 5)
	s := start(t, l, k, o)
	upTo(t, l, s)
	_ = s.Stop(t.Context())
	write(t, l, 5, 60)
	segs, _ := filepath.Glob(filepath.Join(dir, "seg-*"))
	for _, f := range segs[:3] {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, l, k, o)
	upTo(t, l, s)
	_ = s.Stop(t.Context())
	if len(gaps) != 1 || !strings.Contains(gaps[0], "not in the log any more") {
		t.Error(gaps)
	}
}
