package sidecar

import (
	"context"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/cmd/words"
	"sallyport/metrics"
	"sallyport/sandbox"
)

// A journal is the audit log of the sidecar, with a meter on the way to it.
type journal struct {
	*audit.Log
	counted metrics.Recorder
}

func newJournal(log *audit.Log, m *metrics.Meter) *journal { return &journal{log, m.Over(log)} }

// Record makes an event durable, and counts it.
func (j *journal) Record(ctx context.Context, ev *audit.Event) (audit.Receipt, error) {
	return j.counted.Record(ctx, ev)
}

// Append hands an event over, and counts it.
func (j *journal) Append(ev *audit.Event) error { return j.counted.Append(ev) }

// newMeter makes the meter of a sidecar that does not exist yet: s is asked when
// the meter is read.
func newMeter(s func() *sidecar) *metrics.Meter {
	return metrics.New(metrics.Options{
		Version:     words.Version(),
		Credentials: func() []string { return s().plan.Load().names },
		Sandboxes:   func() map[metrics.Standing]int { return s().standing() },
		UnderWay:    func() (int, int) { return s().srv.UnderWay() },
		Policies:    func() []metrics.Policy { return s().metered() },
		Ready: func() bool {
			return s().ready.Load() && len(s().plan.Load().lacking()) == 0 && s().records.Ready() == nil && s().shipped() && time.Now().Before(s().caEnd())
		},
		Sinks:   func() []metrics.Sink { return s().meterSinks() },
		CAEnd:   func() time.Time { return s().caEnd() },
		Durable: func() bool { return s().records.Ready() == nil },
	})
}

// standing counts the sandboxes by state and way.
func (s *sidecar) standing() map[metrics.Standing]int {
	out := map[metrics.Standing]int{}
	_ = s.reg.View(func(tx *sandbox.Tx) error {
		got, err := tx.Tally(func(sb *sandbox.Sandbox) string {
			return stateOf(sb) + " " + string(sb.Identity.Way)
		})
		for k, n := range got {
			state, way, _ := strings.Cut(k, " ")
			out[metrics.Standing{State: state, Way: way}] = n
		}
		return err
	})
	return out
}

// metered are the policies that are in force.
func (s *sidecar) metered() (out []metrics.Policy) {
	p := s.plan.Load()
	for n, pol := range p.policies {
		m := metrics.Policy{Name: n, Digest: pol.Digest(), Revision: pol.Revision()}
		if b := s.feeds.tell(n); b != nil {
			m.Activated = b.Activated
		}
		out = append(out, m)
	}
	return out
}
