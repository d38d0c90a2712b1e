// Package metrics counts what passes to the audit log, in the names and forms of Prometheus.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport/audit"
)

// A Recorder keeps the audit log.
type Recorder interface {
	Record(context.Context, *audit.Event) (audit.Receipt, error)
	Append(*audit.Event) error
}

// Options say what a Meter asks when it is read. Each function is optional,
// returns at once, and is safe for concurrent use.
type Options struct {
	Version string
	// Credentials are the names of the configuration: no other becomes a label.
	Credentials func() []string
	// Sandboxes counts them by state and way in.
	Sandboxes func() map[Standing]int
	// Policies are those that are in force, each name once.
	Policies func() []Policy
	// UnderWay counts connections and requests.
	UnderWay func() (conns, requests int)
	// Ready reports whether traffic is taken, Durable whether records can be kept.
	Ready, Durable func() bool
	// Sinks are where records are shipped; their names are of the configuration.
	Sinks func() []Sink
	// CAEnd is when the CA ends under which TLS is opened.
	CAEnd func() time.Time
}

// A Standing is the state of a sandbox and the way in which its traffic comes.
type Standing struct{ State, Way string }

// A Sink is where records are shipped: how many wait for it, how many it did not
// take since the start, and whether it takes any.
type Sink struct {
	Name             string
	Behind, Rejected uint64
	Working          bool
}

// A Meter counts events on their way to a log. No label of it is a text that a
// sandbox can choose, or that grows with what sandboxes do. It is safe for
// concurrent use.
type Meter struct {
	o   Options
	reg *prometheus.Registry

	decisions, outcomes, responses, bytes, dns, packets     *prometheus.CounterVec
	grants, enrolments, reloads, control, refusals, records *prometheus.CounterVec
	cached, bundles, shadows                                *prometheus.CounterVec
	reloaded                                                *prometheus.GaugeVec
	requests, evaluations                                   *prometheus.HistogramVec
	firstByte, tunnels, durable                             prometheus.Histogram
	scrubbed, unrecorded, lost, written, segments           prometheus.Counter
	segment                                                 prometheus.Gauge
}

// New returns a Meter that counted nothing yet, with a registry of its own.
func New(o Options) *Meter {
	m := &Meter{o: o, reg: prometheus.NewRegistry()}
	m.define()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_build_info", Help: "Is 1; the labels say what runs.", ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()}})
	build.Set(1)
	m.reg.MustRegister(build, (*standing)(m), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with all metrics, in the format that the client asks for.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{DisableCompression: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Over returns a Recorder that passes everything on to a log and counts what the
// log takes.
func (m *Meter) Over(log Recorder) Recorder { return &metered{m, log} }

type metered struct {
	m  *Meter
	to Recorder
}

// Record counts an event when it is durable.
func (r *metered) Record(ctx context.Context, ev *audit.Event) (audit.Receipt, error) {
	start := time.Now()
	got, err := r.to.Record(ctx, ev)
	if err != nil {
		r.m.unrecorded.Inc()
		return got, err
	}
	r.m.durable.Observe(time.Since(start).Seconds())
	r.m.count(ev)
	return got, nil
}

// Append counts an event that the log took.
func (r *metered) Append(ev *audit.Event) error {
	if err := r.to.Append(ev); err != nil {
		r.m.unrecorded.Inc()
		return err
	}
	r.m.count(ev)
	return nil
}
