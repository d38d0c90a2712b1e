package metrics

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/audit"
)

// count adds an event that the log took; both only read it.
func (m *Meter) count(ev *audit.Event) {
	m.records.WithLabelValues(known(events, string(ev.Name))).Inc()
	switch ev.Name {
	case audit.RequestDecision, audit.TunnelDecision, audit.MessageDecision, audit.DNSDecision, audit.DNSQuery, audit.PacketRefused, audit.EnrolRefused, audit.ControlRefused:
		m.happened(ev.Name, ev, 1)
	case audit.DenySummary:
		if l := ev.Lifecycle; l != nil {
			m.happened(audit.Name(l.Detail["of"]), ev, l.Count)
		}
	case audit.RequestComplete:
		m.ended("request", ev)
	case audit.TunnelClose:
		m.ended("tunnel", ev)
	case audit.SandboxEnrolled:
		m.enrolments.WithLabelValues("accepted").Inc()
	case audit.ConfigLoaded:
		m.reload("taken")
	case audit.ConfigRefused:
		m.reload("refused")
	case audit.ControlChange:
		if l := ev.Lifecycle; l != nil {
			m.control.WithLabelValues(known(actions, l.Detail["action"])).Inc()
		}
	}
}

// happened adds what may be recorded one by one or counted together. Of kinds
// that were not kept apart nothing is known but how many there were.
func (m *Meter) happened(of audit.Name, ev *audit.Event, n int) {
	switch of {
	case audit.RequestDecision, audit.TunnelDecision, audit.MessageDecision:
		m.decided(ev.Decision, n)
	case audit.DNSDecision:
		m.decided(ev.Decision, n)
		if ev.DNS != nil && ev.DNS.Rcode != "" { // no query comes after it
			m.happened(audit.DNSQuery, ev, n)
		}
	case audit.DNSQuery:
		rcode := other
		if ev.DNS != nil {
			rcode = known(rcodes, ev.DNS.Rcode)
		}
		m.dns.WithLabelValues(rcode).Add(float64(n))
	case audit.PacketRefused:
		transport := other
		if ev.Packet != nil {
			transport = known(transports, ev.Packet.Transport)
		}
		m.packets.WithLabelValues(transport).Add(float64(n))
	case audit.ControlRefused:
		reason := other
		if ev.Lifecycle != nil {
			reason = known(reasons, ev.Lifecycle.Detail["reason"])
		}
		m.refusals.WithLabelValues(reason).Add(float64(n))
	case audit.EnrolRefused:
		m.enrolments.WithLabelValues("refused").Add(float64(n))
	}
}

func (m *Meter) decided(d *audit.Decision, n int) {
	if d == nil {
		m.decisions.WithLabelValues("none", "deny", other).Add(float64(n))
		return
	}
	phase, what := known(phases, cmp.Or(d.Phase, "none")), known(effects, d.Effect)
	if d.Would != "" {
		what = "observe"
	}
	m.decisions.WithLabelValues(phase, what, code(cmp.Or(d.Code, d.Would), d.Policy != "")).Add(float64(n))
	if d.Cached {
		m.cached.WithLabelValues(phase).Add(float64(n))
	}
	if d.Took > 0 {
		m.evaluations.WithLabelValues(phase).Observe(d.Took.Seconds())
	}
}

func (m *Meter) ended(kind string, ev *audit.Event) {
	r := ev.Result
	if r == nil {
		return
	}
	// An error that is none of ours is a refusal by a policy's later phase.
	m.outcomes.WithLabelValues(kind, known(outcomes, r.Outcome), code(r.ErrorType, true)).Inc()
	m.bytes.WithLabelValues(kind, "in").Add(float64(r.BytesIn))
	m.bytes.WithLabelValues(kind, "out").Add(float64(r.BytesOut))
	if kind == "tunnel" {
		m.tunnels.Observe(r.Took.Seconds())
		return
	}
	source := known(sources, cmp.Or(r.Source, "none"))
	m.requests.WithLabelValues(source).Observe(r.Took.Seconds())
	m.responses.WithLabelValues(source, class(r.Status)).Inc()
	m.scrubbed.Add(float64(r.Scrubbed))
	if r.TimeToFirst > 0 {
		m.firstByte.Observe(r.TimeToFirst.Seconds())
	}
	m.granted(ev)
}

func (m *Meter) granted(ev *audit.Event) {
	outcome := "granted"
	if strings.HasPrefix(ev.Result.ErrorType, "credential_") || strings.HasPrefix(ev.Result.ErrorType, "placeholder_") {
		outcome = "refused"
	}
	var names []string
	if len(ev.Credential) > 0 && m.o.Credentials != nil {
		names = m.o.Credentials()
	}
	for _, u := range ev.Credential {
		switch {
		case u.Name == "": // of the client, and taken off
		case slices.Contains(names, u.Name):
			m.grants.WithLabelValues(u.Name, outcome).Inc()
		default:
			m.grants.WithLabelValues(other, outcome).Inc()
		}
	}
}

func (m *Meter) reload(outcome string) {
	m.reloads.WithLabelValues(outcome).Inc()
	m.reloaded.WithLabelValues(outcome).Set(float64(time.Now().UnixMilli()) / 1000)
}

// class is 2xx and the like; none when nothing was returned.
func class(status int) string {
	switch {
	case status == 0:
		return "none"
	case status < 100 || status > 599:
		return other
	}
	return fmt.Sprintf("%dxx", status/100)
}

// How the first line of what is written says that it begins a segment, or that
// something was lost before it.
var (
	opens     = []byte(`"event.name":"` + string(audit.AuditOpen) + `"`)
	recovered = []byte(`"event.name":"` + string(audit.AuditRecovered) + `"`)
)

// Wrote counts lines of the log: it is what audit.Options.Written takes.
func (m *Meter) Wrote(lines []byte) {
	m.written.Add(float64(len(lines)))
	switch head := lines[:min(len(lines), 256)]; {
	case bytes.Contains(head, opens):
		m.segments.Inc()
		m.segment.Set(0)
	case bytes.Contains(head, recovered):
		first, _, _ := bytes.Cut(lines, []byte("\n"))
		var r struct {
			Lost float64 `json:"event.lost"`
		}
		if json.Unmarshal(first, &r) == nil && r.Lost > 0 {
			m.lost.Add(r.Lost)
		}
	}
	m.segment.Add(float64(len(lines)))
}
