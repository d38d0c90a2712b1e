package sidecar

import (
	"context"
	"time"

	"sallyport/audit"
)

// A jump of the wall clock that is recorded, and how often it is looked at. What
// NTP does in a second to keep time is far below.
const (
	clockEvery = time.Second
	clockJump  = 500 * time.Millisecond
)

// clocks reads the wall clock, and one that nobody sets.
type clocks func() (wall time.Time, steady time.Duration)

// machineClocks are those of this machine. The second stands still while the
// machine sleeps, so a sleep is a jump as well.
func machineClocks() clocks {
	begin := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(begin)
	}
}

// watchClock tells of each jump of the wall clock until ctx ends: how far, and what
// time it was thought to be and is. All that sallyport itself waits for goes by the
// steady clock, and records keep their order by sequence; but from here on
// timestamps, and what is good until some date, are by another clock (hostile 150).
func watchClock(ctx context.Context, every time.Duration, read clocks, jumped func(step time.Duration, was, is time.Time)) {
	t := time.NewTicker(every)
	defer t.Stop()
	wall, steady := read()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		is, s := read()
		was := wall.Add(s - steady)
		if step := is.Sub(was); step.Abs() >= clockJump {
			jumped(step, was, is)
		}
		wall, steady = is, s
	}
}

// clockJumped records a jump, and says it in the log of the sidecar.
func (s *sidecar) clockJumped(step time.Duration, was, is time.Time) {
	s.log.Warn().Stringer("step", step).Msg("the wall clock jumped")
	_ = s.records.Append(&audit.Event{Name: audit.LifecycleClock, Lifecycle: &audit.Lifecycle{Detail: map[string]string{
		"step": step.String(), "was": was.UTC().Format(time.RFC3339Nano), "is": is.UTC().Format(time.RFC3339Nano)}}})
}
