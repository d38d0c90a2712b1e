package ship_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/audit/ship"
)

// A receiver is what records are shipped to: it can be killed and begun again, and
// tells which records it has.
type receiver interface {
	begin(*testing.T)
	kill(*testing.T)
	lines(*testing.T) []string // records as JSON, in the order in which they came
}

// scale is how many records are shipped, and how often the receiver is killed.
func scale() (records, kills int) {
	if os.Getenv("SALLYPORT_SOAK") != "" {
		return 100_000, 20
	}
	return 3_000, 4
}

// survives ships records while the receiver is killed and begun again, and holds
// what it has to what was written: nothing is missing, nothing is there twice by its
// id, and what one sandbox did is in order.
func survives(t *testing.T, sink ship.Sink, to receiver) {
	t.Helper()
	records, kills := scale()
	dir := t.TempDir()
	l, err := audit.Open(dir, audit.Options{SegmentBytes: 256 << 10, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to.begin(t)
	s, err := ship.Start(l, sink, ship.Options{Name: "sink", Dir: filepath.Join(dir, "cursors")})
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	const sandboxes = 4
	for w := range sandboxes {
		writers.Go(func() {
			for i := range records / sandboxes {
				ev := &audit.Event{Name: audit.RequestDecision, Sandbox: audit.Sandbox{ID: fmt.Sprint("sandbox-", w)},
					Request: &audit.Request{Method: "GET", Path: fmt.Sprintf("/%d/\n<14>1 - forged - - - -", i)}, Decision: &audit.Decision{Effect: "allow"}}
				if _, err := l.Record(t.Context(), ev); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for range kills {
		end, _ := l.Durable()
		for since := s.State().Sent; s.State().Sent < since+uint64(records/kills/4) && s.State().Sent < end.Sequence; {
			time.Sleep(5 * time.Millisecond)
		}
		to.kill(t)
		time.Sleep(20 * time.Millisecond)
		to.begin(t)
	}
	<-written
	end, _ := l.Durable()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Wait(ctx, end.Sequence); err != nil {
		t.Fatal(err, s.State())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var missing, twice, disordered int
	for range 200 { // a receiver may write what it took a moment later
		if missing, twice, disordered = compare(to.lines(t), end.Sequence); missing == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if missing > 0 || disordered > 0 {
		t.Errorf("of %d records %d are missing, %d out of order, %d came twice", end.Sequence, missing, disordered, twice)
	}
	t.Logf("%d records, %d kills: %d came twice", end.Sequence, kills, twice)
}

// compare looks for each record, by its sequence and id, in what a receiver has.
func compare(lines []string, want uint64) (missing, twice, disordered int) {
	seen := map[string]bool{}
	last := map[string]uint64{}
	for _, line := range lines {
		var r struct {
			ID      string `json:"event.id"`
			Seq     uint64 `json:"event.sequence"`
			Sandbox string `json:"sandbox.id"`
		}
		if json.Unmarshal([]byte(line), &r) != nil || r.ID == "" {
			disordered++ // it is no record at all
			continue
		}
		if seen[r.ID] {
			twice++
			continue
		}
		seen[r.ID] = true
		if r.Seq < last[r.Sandbox] {
			disordered++
		}
		last[r.Sandbox] = r.Seq
	}
	return int(want) - len(seen), twice, disordered
}
