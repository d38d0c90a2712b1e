package proxy

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whenever requests come, and however the rate is changed, no more pass in any
// time than the highest rate gives for it and a second more.
func TestPaceProperty(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var p pace
		now, rate, most := time.Unix(1e9, 0), 1+r.IntN(20), 0
		most = rate
		var passed []time.Time
		for range 800 {
			switch r.IntN(80) {
			case 0:
				rate = 1 + r.IntN(20)
				most = max(most, rate)
			case 1:
				now = now.Add(time.Duration(r.Int64N(int64(5 * time.Second))))
			case 2:
				now = now.Add(-time.Duration(r.Int64N(int64(time.Millisecond)))) // callers race
			default:
				now = now.Add(time.Duration(r.Int64N(int64(5 * time.Millisecond))))
			}
			if p.take(rate, now) {
				passed = append(passed, now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if in := passed[j].Sub(passed[i]).Seconds() + .001; float64(j-i+1) > float64(most)*(in+1)+1e-6 {
					t.Fatalf("seed %d: %d passed in %.3f s at %d a second", seed, j-i+1, in, most)
				}
			}
		}
		if len(passed) < most {
			t.Fatalf("seed %d: only %d passed", seed, len(passed))
		}
	}
	var p pace
	for range 10000 {
		if !p.take(0, time.Now()) {
			t.Fatal("without a rate one is refused")
		}
	}
}
