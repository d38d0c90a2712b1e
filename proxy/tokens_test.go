package proxy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sallyport/policy"
)

// In no time do more pass than the burst and what the rate lets in that time, also
// while the policy changes what it says; and what is refused may pass when it was
// said.
func TestTokensProperty(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q quotas
		d := &policy.Decision{Phase: policy.Request}
		l := policy.Quota{Requests: 1 + r.Int64N(30), Per: time.Duration(1+r.IntN(20)) * time.Second, Burst: 1 + r.Int64N(20), Version: "0"}
		rate, burst := float64(l.Requests)/l.Per.Seconds(), float64(l.Burst)
		now := time.Unix(1e9, 0)
		var passed []time.Time
		for i := range 400 {
			if r.IntN(50) == 0 {
				l.Requests, l.Burst = 1+r.Int64N(30), 1+r.Int64N(20)
				if r.IntN(2) == 0 {
					l.Version = fmt.Sprint(i)
				}
				rate, burst = max(rate, float64(l.Requests)/l.Per.Seconds()), max(burst, float64(l.Burst))
			}
			now = now.Add(time.Duration(r.Int64N(int64(time.Second))))
			_, ref := q.take(d, []policy.Quota{l}, now)
			if ref != nil && r.IntN(4) == 0 {
				now = now.Add(ref.after())
				_, ref = q.take(d, []policy.Quota{l}, now)
				if ref != nil {
					t.Fatalf("seed %d: refused when it said that there is room: %v", seed, ref)
				}
			}
			if ref == nil {
				passed = append(passed, now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if in := passed[j].Sub(passed[i]).Seconds(); float64(j-i+1) > burst+rate*in+1e-6 {
					t.Fatalf("seed %d: %d passed in %.3f s at %.2f a second and %.0f at once", seed, j-i+1, in, rate, burst)
				}
			}
		}
		if len(passed) == 0 {
			t.Fatalf("seed %d: nothing passed", seed)
		}
	}
}

// hostile 410: limits that a policy makes of what it is asked have no more counters
// than there is room for, and none is forgotten that has something to say.
func TestCountersAreFew(t *testing.T) {
	var q quotas
	d := &policy.Decision{Phase: policy.Request}
	now := time.Unix(1e9, 0)
	take := func(per int) bool {
		_, ref := q.take(d, []policy.Quota{{Requests: 1, Burst: 1, Per: time.Duration(per) * time.Hour}}, now)
		return ref == nil
	}
	if !take(2) {
		t.Fatal("the first is refused")
	}
	passed := 0
	for i := range 3 * maxCounters {
		if take(3 + i) {
			passed++
		}
	}
	if passed != maxCounters-1 || len(q.rates) > maxCounters {
		t.Errorf("%d passed, %d are counted", passed, len(q.rates))
	}
	if take(2) {
		t.Error("a counter was forgotten")
	}
	now = now.Add(4 * time.Hour) // three are as good as new
	if !take(1000) || !take(1001) || !take(1002) || take(1003) || len(q.rates) > maxCounters {
		t.Errorf("%d are counted", len(q.rates))
	}
}

// Of limits that are counted together the smallest holds, and nothing is counted of
// what one of them refuses.
func TestQuotasTogether(t *testing.T) {
	var q quotas
	d := &policy.Decision{Phase: policy.Request}
	now := time.Unix(1e9, 0)
	few := policy.Quota{Name: "few", Requests: 1, Burst: 1, Per: time.Hour}
	many := policy.Quota{Name: "many", Requests: 3, Burst: 3, Per: time.Hour}
	take := func(ls ...policy.Quota) bool {
		var list []policy.Quota
		for _, l := range ls {
			list = l.Add(list)
		}
		_, ref := q.take(d, list, now)
		return ref == nil
	}
	if !take(few, many) || take(few, many) || take(many, few) || !take(many) || !take(many) || take(many) {
		t.Error("what was refused is counted, or what passed is not")
	}
	low := policy.Quota{Name: "x", Requests: 2, Burst: 2, Per: time.Hour}
	high := policy.Quota{Name: "x", Requests: 9, Burst: 9, Per: time.Hour}
	if !take(low) || !take(high, low) || take(high) {
		t.Error("a rule with a higher limit gives what the lower one refuses")
	}
	passed := 0
	for range 59 { // nor does it let more come
		now = now.Add(time.Minute)
		for _, l := range []policy.Quota{high, low} {
			if take(l) {
				passed++
			}
		}
	}
	if passed != 1 {
		t.Errorf("%d passed in 59 minutes", passed)
	}
	if other := (&policy.Decision{Phase: policy.Connect}); true {
		if _, ref := q.take(other, []policy.Quota{low}, now); ref != nil {
			t.Error("connections and requests are counted together")
		}
	}
	low.Policy = "another"
	if !take(low) {
		t.Error("policies are counted together")
	}
	one := policy.Quota{Concurrency: 1}
	done, ref := q.take(d, []policy.Quota{one}, now)
	if ref != nil || take(one) {
		t.Error("two at once")
	}
	done()
	if !take(one) {
		t.Error("what is over counts")
	}
}
