package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Policy is one that is in force. Activated is when its bundle was last taken; a
// zero time leaves it out.
type Policy struct {
	Name, Digest, Revision string
	Activated              time.Time
}

// Bundle counts a request for the bundle of a policy, by what came of it: taken,
// unchanged, refused or failed.
func (m *Meter) Bundle(policy, event string) { m.bundles.WithLabelValues(policy, event).Inc() }

// Shadow counts what a candidate said that is asked beside a policy: same, denied (what
// that allowed), allowed (what that denied), changed, undecidable, or dropped.
func (m *Meter) Shadow(policy, candidate, outcome string) {
	m.shadows.WithLabelValues(policy, candidate, outcome).Inc()
}

var (
	policyDesc    = prometheus.NewDesc("sallyport_policy_info", "Is 1; the labels say which policies are in force.", []string{"policy", "digest", "revision"}, nil)
	activatedDesc = prometheus.NewDesc("sallyport_bundle_activated_timestamp_seconds", "When a bundle of a policy was last taken.", []string{"policy"}, nil)
)

// policies collects those that are in force.
func (s *standing) policies(gauge func(*prometheus.Desc, float64, ...string)) {
	if s.o.Policies == nil {
		return
	}
	for _, p := range s.o.Policies() {
		gauge(policyDesc, 1, p.Name, p.Digest, p.Revision)
		if !p.Activated.IsZero() {
			gauge(activatedDesc, float64(p.Activated.UnixMilli())/1000, p.Name)
		}
	}
}
