package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A log is read in order over all its segments, between two times, from one file of
// it, and no further than it is what was written.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	now := at
	l, err := Open(dir, Options{SegmentBytes: 4 << 10, Now: func() time.Time { now = now.Add(time.Minute); return now }})
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := range n {
		if _, err := l.Record(t.Context(), &Event{Name: RequestDecision, Request: &Request{Path: fmt.Sprintf("/%d", i), Size: -1}, Decision: &Decision{Effect: "allow"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := segments(dir)
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	read := func(path string, o ReadOptions) (out []string, err error) {
		err = Read(t.Context(), path, o, func(e Entry) error {
			if p := e.Str("url.path"); p != "" {
				out = append(out, p)
			}
			return nil
		})
		return out, err
	}
	var done, total int64
	all, err := read(dir, ReadOptions{Progress: func(d, of int64) { done, total = d, of }})
	if err != nil || len(all) != n || all[0] != "/0" || all[n-1] != "/99" || done != total || total == 0 {
		t.Fatal(len(all), done, total, err)
	}
	some, err := read(dir, ReadOptions{Since: at.Add(40 * time.Minute), Until: at.Add(60 * time.Minute)})
	if err != nil || len(some) == 0 || len(some) > 20 {
		t.Fatal(some, err)
	}
	one, err := read(filepath.Join(dir, names[2]), ReadOptions{})
	if err != nil || len(one) == 0 || len(one) >= n {
		t.Fatal(one, err)
	}
	missing := t.TempDir()
	for i, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			continue
		}
		if err := os.WriteFile(filepath.Join(missing, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var broken *BreakError
	if got, err := read(missing, ReadOptions{}); !errors.As(err, &broken) || broken.Segment != names[3] || len(got) == 0 {
		t.Errorf("without a segment: %d, %v", len(got), err)
	}
	if got, err := read(missing, ReadOptions{Unverified: true}); err != nil || len(got) != n-len(one) {
		t.Errorf("without a segment, unverified: %d, %v", len(got), err)
	}
	if _, err := read(t.TempDir(), ReadOptions{}); err == nil {
		t.Error("no log is no error")
	}
}
