package sidecar

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What garbage may be, beside what lives: four times as much while that is little,
// since a proxy makes much and keeps little; no more than half when many connections
// make it much.
const (
	garbageMost  = 128 << 20
	percentMost  = 400
	percentLeast = 50
)

// paceGarbage has the collector work harder the more lives, until ctx ends, unless
// GOGC says how hard. It looks every so often.
func paceGarbage(ctx context.Context, every time.Duration) {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := percentMost; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		metrics.Read(live)
		want := garbagePercent(live[0].Value.Uint64())
		if want != now { // it stops the world for a moment
			debug.SetGCPercent(want)
			now = want
		}
	}
}

// garbagePercent is the percentage for what lives, in steps of 50.
func garbagePercent(live uint64) int {
	if live == 0 {
		return percentMost
	}
	p := int(garbageMost*100/live) / 50 * 50
	return max(percentLeast, min(p, percentMost))
}
