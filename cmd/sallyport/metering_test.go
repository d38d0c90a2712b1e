package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sallyport/origin"
)

// scraped are the metrics of a sidecar, as curl has them from the control socket.
func (s *side) scraped() string {
	s.t.Helper()
	b, err := exec.Command("curl", "-sS", "--fail", "--unix-socket", s.control, "http://sallyport/metrics").CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, b)
	}
	return string(b)
}

// value is what one series says.
func value(t *testing.T, text, series string) (n float64) {
	t.Helper()
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	if _, err := fmt.Sscan(m[1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// hostile 213: thousands of hosts, methods, paths, names and codes leave as many
// series as a few do, and the metrics say what the records say.
func TestMetricsOfSandboxes(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	s := p.sidecar(t, "")
	u := p.https("api.example.com", "/echo")
	storm := func(n int) {
		t.Helper()
		script := fmt.Sprintf(`curl -sS -o /dev/null %[1]s
i=0; : > urls; while [ $i -lt %[2]d ]; do i=$((i+1)); printf 'url = "http://h%%d-%[2]d.example/p%%d?q=%%d"\nrequest = "M%%d"\noutput = "/dev/null"\n' $i $i $i $i >> urls; done
curl -sS -K urls
curl -sS -o /dev/null -X POST %[1]s; curl -sS -o /dev/null http://nothere.invalid/; curl -sS -m 2 -o /dev/null https://192.0.2.7:22/; rm urls
python3 - <<'P'
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(%[2]d):
    try: u.sendto(b'x', ('192.0.2.9', 1000 + port))
    except OSError: pass
P
true`, u, n)
		if out := s.enrolled([]string{"--name", fmt.Sprintf("box-%d", n), "--policy", "web,strict", "--label", "team=web", "--prop", "tenant=t"}, script); out.code != 0 {
			t.Fatalf("%+v", out)
		}
	}
	storm(3)
	few := s.scraped()
	storm(1500)
	many := s.scraped()
	if a, b := strings.Count(few, "\nsallyport_"), strings.Count(many, "\nsallyport_"); a != b || a < 100 {
		t.Errorf("%d series became %d\n%s\n%s", a, b, few, many)
	}
	if m := regexp.MustCompile(`(box-|example|M1|nothere|t-1|192\.0\.)`).FindString(many); m != "" {
		t.Errorf("a label has %q", m)
	}
	problems, err := promlint.New(strings.NewReader(many)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	s.stop()
	for series, fields := range map[string]map[string]string{
		`sallyport_decisions_total{code="",decision="allow",phase="egress"}`:            {"event.name": "egress.request.decision", "policy.decision": "allow", "policy.phase": "egress"},
		`sallyport_decisions_total{code="default_deny",decision="deny",phase="egress"}`: {"event.name": "egress.request.decision", "policy.code": "default_deny", "policy.phase": "egress"},
		`sallyport_outcomes_total{error="",kind="request",outcome="success"}`:           {"event.name": "egress.request.complete", "event.outcome": "success"},
		`sallyport_enrolments_total{outcome="accepted"}`:                                {"event.name": "egress.sandbox.enrolled"},
		`sallyport_control_changes_total{action="create"}`:                              {"event.name": "egress.control.change", "detail.action": "create"},
		`sallyport_audit_events_total{event="egress.packet.refused"}`:                   {"event.name": "egress.packet.refused"},
		`sallyport_request_duration_seconds_count{source="upstream"}`:                   {"event.name": "egress.request.complete", "response.source": "upstream"},
		`sallyport_policy_evaluation_duration_seconds_count{phase="egress"}`:            {"event.name": "egress.request.decision", "policy.phase": "egress"},
		`sallyport_credential_grants_total{credential="api",outcome="granted"}`:         {"event.name": "egress.request.complete", "response.source": "upstream"},
		`sallyport_responses_total{class="2xx",source="upstream"}`:                      {"event.name": "egress.request.complete", "http.response.status_code": "200"},
	} {
		want, got := len(p.find(fields)), value(t, many, series)
		if strings.Contains(series, "policy_evaluation") { // or it was decided before
			got += value(t, many, `sallyport_policy_cached_total{phase="egress"}`)
		}
		if want == 0 || float64(want) != got {
			t.Errorf("%s is %v, and the records are %d", series, got, want)
		}
	}
	if n := value(t, many, `sallyport_refused_packets_total{transport="udp"}`); n < 100 {
		t.Errorf("%v packets", n)
	}
	if n := value(t, many, `sallyport_dns_queries_total{rcode="NOERROR"}`); n < 1000 {
		t.Errorf("%v queries", n)
	}
	if n := value(t, many, `sallyport_audit_written_bytes_total`); n < 1e6 {
		t.Errorf("%v bytes", n)
	}
	if value(t, many, "sallyport_ready") != 1 || value(t, many, "sallyport_requests_in_flight") != 0 {
		t.Error("it is not ready, or something is under way")
	}
}
