package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sallyport/audit"
)

// A taker is a log that takes everything, or nothing.
type taker struct{ err error }

func (t taker) Record(context.Context, *audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, t.err
}
func (t taker) Append(*audit.Event) error { return t.err }

func read(t *testing.T, m *Meter) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	return string(b)
}

// all are the events of one request of a sandbox that chose these texts.
func all(text string, n int) []*audit.Event {
	d := func(effect, code, policy string) *audit.Decision {
		return &audit.Decision{Effect: effect, Phase: "egress", Code: code, Policy: policy, Took: time.Millisecond, Cached: true}
	}
	req := &audit.Request{Method: text, Host: text, Path: text}
	return []*audit.Event{
		{Name: audit.RequestDecision, Request: req, Decision: d("allow", "", text)},
		{Name: audit.RequestDecision, Request: req, Decision: d("deny", text, "mine")},
		{Name: audit.RequestDecision, Request: req, Decision: d("deny", text, "")},
		{Name: audit.RequestDecision, Request: req, Decision: &audit.Decision{Effect: "allow", Would: "default_deny", Phase: text}},
		{Name: audit.RequestDecision, Request: req, Decision: d(text, "sealed", "")},
		{Name: audit.RequestComplete, Request: req, Credential: []audit.CredentialUse{{Name: "api"}, {Name: text}, {Place: text}}, Result: &audit.Result{Outcome: "success", Status: 200 + n%100, Source: "upstream", BytesIn: 2, BytesOut: 3, TimeToFirst: 1, Took: time.Second, Scrubbed: 1}},
		{Name: audit.RequestComplete, Request: req, Credential: []audit.CredentialUse{{Name: "api"}}, Result: &audit.Result{Outcome: "failure", Status: 503, Source: "proxy", ErrorType: "credential_unavailable"}},
		{Name: audit.RequestComplete, Request: req, Result: &audit.Result{Outcome: text, Status: 700 + n, Source: text, ErrorType: text}},
		{Name: audit.TunnelClose, Result: &audit.Result{Outcome: "success", BytesIn: 1, BytesOut: 1}},
		{Name: audit.DNSQuery, DNS: &audit.DNS{Question: text, Type: text, Rcode: text}},
		{Name: audit.DNSQuery, DNS: &audit.DNS{Question: text, Rcode: "NXDOMAIN"}},
		{Name: audit.PacketRefused, Packet: &audit.Packet{Transport: text}, Decision: d("deny", "protocol_denied", "")},
		{Name: audit.DenySummary, Packet: &audit.Packet{Transport: "udp"}, Lifecycle: &audit.Lifecycle{Count: 9, Detail: map[string]string{"of": string(audit.PacketRefused)}}},
		{Name: audit.DenySummary, Lifecycle: &audit.Lifecycle{Count: 4, Detail: map[string]string{"of": string(audit.TunnelDecision)}}},
		{Name: audit.DenySummary, Lifecycle: &audit.Lifecycle{Count: 1, Detail: map[string]string{"of": text}}},
		{Name: audit.ControlChange, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"action": text}}},
		{Name: audit.EnrolRefused, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"error": text}}},
		{Name: audit.SandboxEnrolled}, {Name: audit.ConfigLoaded}, {Name: audit.ConfigRefused},
		{Name: audit.Name(text)},
	}
}

// hostile 213: whatever a sandbox sends, there are not more series.
func TestLabelsAreBounded(t *testing.T) {
	m := New(Options{Version: "test", Credentials: func() []string { return []string{"api"} }})
	log := m.Over(taker{})
	series := func(text string, n int) int {
		for i, ev := range all(text, n) {
			if _, err := log.Record(t.Context(), ev); i%2 == 0 && err != nil {
				t.Fatal(err)
			} else if err := log.Append(ev); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Count(read(t, m), "\nsallyport_")
	}
	series("zebra", 0)
	first := series("zebra", 0)
	var last int
	for n := range 3000 {
		text := fmt.Sprintf("x%d\n\"}", n)
		for _, ev := range all(text, n) {
			_ = log.Append(ev)
		}
	}
	if last = series("okapi", 1); last != first || first < 100 {
		t.Errorf("%d series became %d", first, last)
	}
	if text := read(t, m); strings.Contains(text, "x17") || strings.Contains(text, "zebra") || strings.Contains(text, "okapi") {
		t.Error("a text of a sandbox is a label")
	}
}

// Each event is counted as what it is.
func TestCounts(t *testing.T) {
	m := New(Options{Version: "test", Credentials: func() []string { return []string{"api"} }, Ready: func() bool { return true }, CAEnd: func() time.Time { return time.Unix(1800000000, 5) }, Durable: func() bool { return false },
		UnderWay: func() (int, int) { return 3, 2 }, Sandboxes: func() map[Standing]int { return map[Standing]int{{"active", "run"}: 7} }})
	log := m.Over(taker{})
	for _, ev := range all("x", 4) {
		if _, err := log.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	bad := m.Over(taker{errors.New("no")})
	if _, err := bad.Record(t.Context(), all("x", 1)[0]); err == nil || bad.Append(all("x", 1)[0]) == nil {
		t.Error("what the log does not take is taken")
	}
	m.Wrote([]byte(`{"v":"1","event.name":"egress.audit.open"}` + "\n"))
	m.Wrote([]byte(`{"v":"1","event.name":"egress.audit.recovered","event.lost":12}` + "\n"))
	text := read(t, m)
	for _, want := range []string{
		`sallyport_decisions_total{code="",decision="allow",phase="egress"} 1`,
		`sallyport_decisions_total{code="policy",decision="deny",phase="egress"} 1`,
		`sallyport_decisions_total{code="other",decision="deny",phase="egress"} 1`,
		`sallyport_decisions_total{code="default_deny",decision="observe",phase="other"} 1`,
		`sallyport_decisions_total{code="sealed",decision="other",phase="egress"} 1`,
		`sallyport_decisions_total{code="other",decision="deny",phase="none"} 4`,
		`sallyport_outcomes_total{error="credential_unavailable",kind="request",outcome="failure"} 1`,
		`sallyport_outcomes_total{error="policy",kind="request",outcome="other"} 1`,
		`sallyport_outcomes_total{error="",kind="tunnel",outcome="success"} 1`,
		`sallyport_responses_total{class="2xx",source="upstream"} 1`,
		`sallyport_responses_total{class="other",source="other"} 1`,
		`sallyport_carried_bytes_total{direction="in",kind="request"} 2`,
		`sallyport_carried_bytes_total{direction="out",kind="request"} 3`,
		`sallyport_dns_queries_total{rcode="NXDOMAIN"} 1`, `sallyport_dns_queries_total{rcode="other"} 1`,
		`sallyport_refused_packets_total{transport="udp"} 9`, `sallyport_refused_packets_total{transport="other"} 1`,
		`sallyport_credential_grants_total{credential="api",outcome="granted"} 1`,
		`sallyport_credential_grants_total{credential="api",outcome="refused"} 1`,
		`sallyport_credential_grants_total{credential="other",outcome="granted"} 1`,
		`sallyport_enrolments_total{outcome="accepted"} 1`, `sallyport_enrolments_total{outcome="refused"} 1`,
		`sallyport_reloads_total{outcome="taken"} 1`, `sallyport_reloads_total{outcome="refused"} 1`,
		`sallyport_control_changes_total{action="other"} 1`,
		`sallyport_scrubbed_total 1`, `sallyport_audit_failures_total 2`, `sallyport_audit_lost_total 12`, `sallyport_audit_segments_total 1`, `sallyport_audit_segment_bytes 107`,
		`sallyport_request_duration_seconds_sum{source="upstream"} 1`, `sallyport_request_first_byte_seconds_count 1`, `sallyport_tunnel_duration_seconds_count 1`,
		`sallyport_policy_evaluation_duration_seconds_count{phase="egress"} 4`, `sallyport_policy_cached_total{phase="egress"} 4`, `sallyport_audit_durable_seconds_count 21`,
		`sallyport_sandboxes{state="active",way="run"} 7`, `sallyport_connections_open 3`, `sallyport_requests_in_flight 2`, `sallyport_ready 1`, `sallyport_ca_end_timestamp_seconds 1.8e+09`, `sallyport_audit_available 0`,
		`sallyport_build_info{goversion="go`, "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if problems, err := testutil.GatherAndLint(m.reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
