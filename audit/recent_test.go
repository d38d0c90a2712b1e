package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func decide(t *testing.T, l *Log, box, host, effect string) string {
	t.Helper()
	ev := &Event{ID: NewID(), Name: RequestDecision, Sandbox: Sandbox{ID: "id-" + box, Name: box}, Request: &Request{Method: "GET", Host: host}, Decision: &Decision{Effect: effect, Code: map[bool]string{true: "default_deny"}[effect == "deny"]}}
	if _, err := l.Record(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if effect == "allow" {
		if _, err := l.Record(t.Context(), &Event{Name: RequestComplete, Of: ev.ID, Sandbox: ev.Sandbox, Result: &Result{Outcome: "success", Status: 200}}); err != nil {
			t.Fatal(err)
		}
	}
	return ev.ID
}

// What is kept is what is in the log, the newest of it, and no more than fits.
func TestRecent(t *testing.T) {
	r := NewRecent(50, 1<<20)
	dir := t.TempDir()
	l, err := Open(dir, Options{Written: r.Wrote, SegmentBytes: 4 << 10, Filter: func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "s3cret", "[X]")) }})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 200 {
		effect := "allow"
		if i%4 == 0 {
			effect = "deny"
		}
		ids = append(ids, decide(t, l, fmt.Sprint("box", i%3), fmt.Sprintf(`s3cret%d","event.id":"x`, i), effect))
	}
	all := r.List(TailOptions{}, 1000)
	if len(all) != 50 || all[0].Decision.Str("event.id") != ids[199] || all[49].Decision.Str("event.id") != ids[150] {
		t.Fatalf("%d are kept", len(all))
	}
	inLog := map[string]bool{}
	if err := Tail(t.Context(), dir, TailOptions{}, func(e Entry) error { inLog[string(e.Line)] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		if !inLog[string(s.Decision.Line)] || strings.Contains(string(s.Decision.Line), "s3cret") {
			t.Errorf("not as it is in the log: %s", s.Decision.Line)
		}
		if want := map[bool]int{true: 0, false: 1}[(199-i)%4 == 0]; len(s.Then) != want || want == 1 && s.Then[0].Str("event.of") != ids[199-i] {
			t.Errorf("%d: %d outcomes", i, len(s.Then))
		}
	}
	if got := r.List(TailOptions{Sandbox: "box1", Decision: Denied}, 3); len(got) != 3 || got[0].Decision.Str("sandbox.name") != "box1" || got[2].Decision.Str("policy.decision") != "deny" {
		t.Errorf("%+v", got)
	}
	if _, ok := r.Get(ids[10]); ok {
		t.Error("what is too old is kept")
	}
	if s, ok := r.Get(ids[199]); !ok || s.Decision.Str("event.id") != ids[199] {
		t.Error("the newest is not kept")
	}
	small := NewRecent(1000, 2000)
	for i := range 100 {
		small.Wrote(fmt.Appendf(nil, `{"event.id":"%d","event.name":"egress.request.decision","x":"%s"}`+"\n", i, strings.Repeat("y", 300)))
	}
	if n := len(small.List(TailOptions{}, 1000)); n < 3 || n > 6 || small.bytes > 2000 {
		t.Errorf("%d of %d bytes are kept", n, small.bytes)
	}

	// hostile 214: what a flood pushed out is found in the log, wherever it stands.
	names, err := segments(dir)
	if err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	for i, id := range ids {
		s, err := Find(t.Context(), dir, id)
		if err != nil || s.Decision.Str("event.id") != id || !inLog[string(s.Decision.Line)] || (len(s.Then) == 1) == (i%4 == 0) {
			t.Fatalf("%d: %+v, %v", i, s, err)
		}
	}
	var no *NotFoundError
	if _, err := Find(t.Context(), dir, NewID()); !errors.As(err, &no) || no.Searched != len(names) || no.Why != nil {
		t.Errorf("%v", err)
	}
	if _, err := Find(t.Context(), dir, "018bcfe5-687b-7fff-bfff-ffffffffffff"); !errors.As(err, &no) || no.Of != len(names) { // before all of it
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ended, dir, ids[0]); !errors.As(err, &no) || !errors.Is(err, context.Canceled) || no.Searched != 0 || !strings.Contains(err.Error(), "0 of the ") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "x", "../../etc/passwd", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"} {
		if _, err := Find(t.Context(), dir, bad); err == nil || errors.As(err, &no) && no.ID == bad {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.WriteFile(dir+"/"+names[3], []byte(strings.Repeat("\x00", 300<<10)+"\n{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Find(t.Context(), dir, ids[199]); err != nil || s.Decision.Line == nil {
		t.Errorf("a damaged segment hides another: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The order in which segments are searched has each once, the likeliest first.
func TestNearest(t *testing.T) {
	dir := t.TempDir()
	var names []string
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 7 {
		n := fmt.Sprintf("%s%020d%s", segPrefix, i, segSuffix)
		names = append(names, n)
		if err := os.WriteFile(dir+"/"+n, fmt.Appendf(nil, `{"@timestamp":%q}`+"\n", begin.Add(time.Duration(i)*time.Hour).Format(time.RFC3339Nano)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for at := -2; at < 10; at++ {
		order := nearest(dir, names, begin.Add(time.Duration(at)*time.Hour+time.Minute))
		seen := map[int]bool{}
		for _, i := range order {
			seen[i] = true
		}
		if len(order) != 7 || len(seen) != 7 || order[0] != max(0, min(at, 6)) {
			t.Errorf("at %d: %v", at, order)
		}
	}
}

// Whatever stands in lines, what is kept stays within its bounds and is one of them.
func FuzzRecent(f *testing.F) {
	f.Add([]byte(`{"event.id":"a","event.name":"egress.request.decision"}` + "\n" + `{"event.name":"egress.request.complete","event.of":"a"}` + "\n"))
	f.Add([]byte(`{"event.id":"a","event.name":"egress.tunnel.decision"`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		r := NewRecent(3, 1000)
		for range 3 {
			r.Wrote(lines)
		}
		if len(r.order) > 3 || len(r.by) != len(r.order) || r.bytes > 1000 || r.bytes < 0 {
			t.Errorf("%d kept, %d known, %d bytes", len(r.order), len(r.by), r.bytes)
		}
		n := 0
		for _, k := range r.order {
			n += k.size()
			if !strings.Contains(string(lines), string(k.line)) || len(k.then) > maxThen {
				t.Errorf("%q is kept", k.line)
			}
		}
		if n != r.bytes {
			t.Errorf("%d bytes are counted and %d kept", r.bytes, n)
		}
	})
}
