package metrics

import "github.com/prometheus/client_golang/prometheus"

// seconds are the bounds of what takes from half a millisecond to minutes.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// quick are those of what is done by this process alone.
var quick = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, 1}

// define makes the metrics that are counted. docs/metrics.md explains each.
func (m *Meter) define() {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.reg.MustRegister(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	histograms := func(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, labels)
		m.reg.MustRegister(h)
		return h
	}
	histogram := func(name, help string, bounds []float64) prometheus.Histogram {
		return histograms(name, help, bounds).WithLabelValues().(prometheus.Histogram)
	}
	m.decisions = counters("sallyport_decisions_total", "Requests and opaque connections that were decided.", "phase", "decision", "code")
	m.outcomes = counters("sallyport_outcomes_total", "How what was allowed ended.", "kind", "outcome", "error")
	m.responses = counters("sallyport_responses_total", "Answers to requests that were allowed, by class of status.", "source", "class")
	m.bytes = counters("sallyport_carried_bytes_total", "Bytes of bodies and tunnels, from the sandbox (in) and to it (out).", "kind", "direction")
	m.dns = counters("sallyport_dns_queries_total", "Queries of sandboxes, by how they were answered.", "rcode")
	m.packets = counters("sallyport_refused_packets_total", "Packets that ended at the wall.", "transport")
	m.grants = counters("sallyport_credential_grants_total", "Requests that a credential was put on, or that were refused because one of theirs was not.", "credential", "outcome")
	m.enrolments = counters("sallyport_enrolments_total", "Namespaces that were handed over.", "outcome")
	m.reloads = counters("sallyport_reloads_total", "Configurations that were read again.", "outcome")
	m.bundles = counters("sallyport_bundle_requests_total", "Requests for bundles of policies, by what came of them.", "policy", "event")
	m.shadows = counters("sallyport_policy_shadow_decisions_total", "Questions that were asked of a candidate beside a policy, by how its answer compares.", "policy", "candidate", "outcome")
	m.control = counters("sallyport_control_changes_total", "Changes that somebody, or the configuration, commanded.", "action")
	m.refusals = counters("sallyport_control_refusals_total", "Commands of those who may not command.", "reason")
	m.records = counters("sallyport_audit_events_total", "Events that were handed to the log.", "event")
	m.requests = histograms("sallyport_request_duration_seconds", "From the head of a request that was allowed to the end of its answer.", seconds, "source")
	m.evaluations = histograms("sallyport_policy_evaluation_duration_seconds", "What policies took to decide.", quick, "phase")
	m.cached = counters("sallyport_policy_cached_total", "Decisions that were made before, of the same facts.", "phase")
	m.firstByte = histogram("sallyport_request_first_byte_seconds", "From the head of a request to the first byte of the upstream's answer.", seconds)
	m.tunnels = histogram("sallyport_tunnel_duration_seconds", "How long opaque connections were open.", seconds)
	m.durable = histogram("sallyport_audit_durable_seconds", "What waited for its record waited so long until that was durable.", quick)
	m.scrubbed = counter("sallyport_scrubbed_total", "Places of answers in which a secret was replaced.")
	m.unrecorded = counter("sallyport_audit_failures_total", "Events that the log did not take.")
	m.lost = counter("sallyport_audit_lost_total", "Events that the log had taken and for which there was no room while the disk was not available.")
	m.written = counter("sallyport_audit_written_bytes_total", "Bytes that were written to the log.")
	m.segments = counter("sallyport_audit_segments_total", "Segments of the log that were begun.")
	m.segment = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_audit_segment_bytes", Help: "Size of the segment that is written."})
	m.reloaded = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sallyport_reload_last_timestamp_seconds", Help: "When a configuration was last taken or refused."}, []string{"outcome"})
	m.reg.MustRegister(m.segment, m.reloaded)
	// What can be named beforehand is there from the start, with none.
	for c, words := range map[*prometheus.CounterVec]map[string]bool{m.cached: phases, m.dns: rcodes, m.packets: transports, m.control: actions, m.refusals: reasons, m.records: events, m.enrolments: set("accepted refused"), m.reloads: set("taken refused")} {
		for w := range words {
			c.WithLabelValues(w)
		}
	}
	for _, c := range []*prometheus.CounterVec{m.dns, m.packets, m.control, m.refusals, m.records} {
		c.WithLabelValues(other)
	}
	for _, kind := range []string{"request", "tunnel"} {
		m.bytes.WithLabelValues(kind, "in")
		m.bytes.WithLabelValues(kind, "out")
	}
}

// What is asked of others when the metrics are read.
var (
	sandboxesDesc = prometheus.NewDesc("sallyport_sandboxes", "Sandboxes by state and by the way in which their traffic comes.", []string{"state", "way"}, nil)
	connsDesc     = prometheus.NewDesc("sallyport_connections_open", "Connections of sandboxes that are open.", nil, nil)
	requestsDesc  = prometheus.NewDesc("sallyport_requests_in_flight", "Requests of sandboxes that are under way.", nil, nil)
	readyDesc     = prometheus.NewDesc("sallyport_ready", "1 when traffic is taken.", nil, nil)
	caEndDesc     = prometheus.NewDesc("sallyport_ca_end_timestamp_seconds", "When the CA ends under which TLS is opened.", nil, nil)
	behindDesc    = prometheus.NewDesc("sallyport_sink_behind", "Records that wait for a sink.", []string{"sink"}, nil)
	workingDesc   = prometheus.NewDesc("sallyport_sink_working", "1 when a sink gets records.", []string{"sink"}, nil)
	rejectedDesc  = prometheus.NewDesc("sallyport_sink_rejected_total", "Records that a sink did not take.", []string{"sink"}, nil)
	durableDesc   = prometheus.NewDesc("sallyport_audit_available", "1 when records can be made durable.", nil, nil)
)

// standing collects what is not counted but is.
type standing Meter

// Describe names what Collect gives.
func (s *standing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sandboxesDesc, connsDesc, requestsDesc, readyDesc, durableDesc, caEndDesc, behindDesc, workingDesc, rejectedDesc, policyDesc, activatedDesc} {
		ch <- d
	}
}

// Collect asks.
func (s *standing) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if s.o.Sandboxes != nil {
		for k, n := range s.o.Sandboxes() {
			gauge(sandboxesDesc, float64(n), k.State, k.Way)
		}
	}
	if s.o.UnderWay != nil {
		conns, requests := s.o.UnderWay()
		gauge(connsDesc, float64(conns))
		gauge(requestsDesc, float64(requests))
	}
	s.policies(gauge)
	if s.o.Sinks != nil {
		for _, x := range s.o.Sinks() {
			gauge(behindDesc, float64(x.Behind), x.Name)
			working := 0.0
			if x.Working {
				working = 1
			}
			gauge(workingDesc, working, x.Name)
			ch <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.CounterValue, float64(x.Rejected), x.Name)
		}
	}
	if s.o.CAEnd != nil {
		gauge(caEndDesc, float64(s.o.CAEnd().Unix()))
	}
	for d, is := range map[*prometheus.Desc]func() bool{readyDesc: s.o.Ready, durableDesc: s.o.Durable} {
		if is == nil {
			continue
		}
		v := 0.0
		if is() {
			v = 1
		}
		gauge(d, v)
	}
}
