package sidecar

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/cmd/words"
)

// A set clock is a wall clock that somebody sets, beside one that nobody can.
type setClock struct {
	mu   sync.Mutex
	off  time.Duration
	real clocks
}

func (c *setClock) read() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.real()
	return wall.Add(c.off), steady
}

func (c *setClock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += by
}

// hostile 150: a wall clock that is set, forwards or back, is recorded as that; the
// log goes on in its order, and ids are still given out once and in theirs.
func TestClockJumps(t *testing.T) {
	c := &setClock{real: machineClocks()}
	dir := filepath.Join(t.TempDir(), "log")
	log, err := audit.Open(dir, audit.Options{Now: func() time.Time { now, _ := c.read(); return now }})
	if err != nil {
		t.Fatal(err)
	}
	var s *sidecar
	s = &sidecar{records: newJournal(log, newMeter(func() *sidecar { return s })), log: words.NewLogger()}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan time.Duration, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchClock(ctx, 5*time.Millisecond, c.read, func(step time.Duration, was, is time.Time) {
			s.clockJumped(step, was, is)
			told <- step
		})
	}()
	time.Sleep(50 * time.Millisecond)
	steps := []time.Duration{-time.Hour, 90 * 24 * time.Hour, -600 * time.Millisecond, 0, 400 * time.Millisecond}
	var seen []time.Duration
	for _, by := range steps {
		if _, err := log.Record(ctx, &audit.Event{Name: audit.ConfigLoaded}); err != nil {
			t.Fatal(err)
		}
		c.set(by)
		select {
		case step := <-told:
			seen = append(seen, step.Round(200*time.Millisecond))
		case <-time.After(200 * time.Millisecond):
		}
	}
	cancel()
	<-done
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, steps[:3]) {
		t.Errorf("%v are told of %v", seen, steps)
	}
	if rep, err := audit.Verify(dir, audit.Expect{}); err != nil {
		t.Errorf("%v %v", rep, err)
	}
	var kinds []string
	var last int64
	var lastID string
	back := 0
	var before time.Time
	if err := audit.Tail(t.Context(), dir, audit.TailOptions{}, func(e audit.Entry) error {
		if n := e.Int("event.sequence"); n <= last {
			t.Errorf("%d comes after %d", n, last)
		}
		if id := e.Str("event.id"); id <= lastID {
			t.Errorf("the id %s comes after %s", id, lastID)
		}
		at, err := time.Parse(time.RFC3339Nano, e.Str("@timestamp"))
		if err != nil {
			t.Fatal(err)
		}
		if at.Before(before) {
			back++
		}
		last, lastID, before = e.Int("event.sequence"), e.Str("event.id"), at
		kinds = append(kinds, e.Str("event.name"))
		if step := e.Str("detail.step"); e.Str("event.name") == string(audit.LifecycleClock) && (step == "" || e.Str("detail.was") == "" || e.Str("detail.is") == "") {
			t.Errorf("%v", e.Fields)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(kinds, func(k string) bool { return k != string(audit.LifecycleClock) })); n != 3 || back < 2 {
		t.Errorf("%d jumps are recorded, the time went back %d times", n, back)
	}
}

// Ids that are made at once by many are given out once, and each is larger than
// those that were made before it.
func TestIDsAreOrdered(t *testing.T) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{}
	for range 4 {
		wg.Go(func() {
			last := ""
			for range 5000 {
				id := audit.NewID()
				if id <= last {
					t.Errorf("%s comes after %s", id, last)
				}
				last = id
				mu.Lock()
				if seen[id] {
					t.Errorf("%s is given out twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
