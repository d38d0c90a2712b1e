package differ

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
)

var binary string

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "inside" {
		if err := inside(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "differ-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		_ = os.Chmod(dir, 0o755)
		binary = filepath.Join(dir, "sallyport")
		args := append([]string{"build", "-trimpath", "-o", binary}, strings.Fields(os.Getenv("SALLYPORT_BUILD_FLAGS"))...)
		cmd := exec.Command("go", append(args, "sallyport/cmd/sallyport")...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
			return 1
		}
		return m.Run()
	}())
}

// sandboxed sends the corpus from inside a sandbox, and returns the answers, how
// often each case was allowed, and how often requests were sent again, by origin.
func sandboxed(t *testing.T, z *zoo, secret string) (answers []answer, allowed, resent map[string]int) {
	t.Helper()
	pol, log := filepath.Join(z.Dir, "policy"), filepath.Join(z.Dir, "log")
	for _, d := range []string{pol, log} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(pol, "p.rego"), []byte(strings.ReplaceAll(policyText, "{secret}", secret)), 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--quiet", "--audit", log, "--policy", pol, "--allow-private", "127.0.0.0/8", "--upstream-ca", z.CA, "--mount", self}
	for _, o := range origins {
		args = append(args, "--resolve", o+".example.com="+z.At(o))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, "--", self, "inside")...)
	work := filepath.Join(z.Dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = work
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for d := json.NewDecoder(&stdout); d.More(); {
		var a answer
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	allowed, resent = map[string]int{}, map[string]int{}
	to := map[string]string{}
	err = audit.Tail(t.Context(), log, audit.TailOptions{}, func(e audit.Entry) error {
		switch origin, _, _ := strings.Cut(e.Str("url.domain"), "."); {
		case e.Str("event.name") == "egress.request.decision" && e.Str("policy.decision") == "allow":
			to[e.Str("event.id")] = origin
			allowed[caseAt(origin, inputCase(e)+" "+e.Str("url.path"))]++
		case e.Str("event.name") == "egress.request.complete":
			if n, ok := e.Fields["http.request.resend_count"].(json.Number); ok {
				again, _ := n.Int64()
				resent[to[e.Str("event.of")]] += int(again)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return answers, allowed, resent
}

// inputCase is the case that policy was told of.
func inputCase(e audit.Entry) string {
	b, _ := json.Marshal(e.Fields["policy.input"])
	var in struct {
		Request struct{ Headers map[string][]string }
	}
	_ = json.Unmarshal(b, &in)
	return strings.Join(in.Request.Headers["x-case"], "")
}

var caseID = regexp.MustCompile(`[a-z0-9]+\.[\w.+-]+-18\d\d\d`)

// caseAt is the case that a target names, at an origin.
func caseAt(origin, target string) string { return origin + " " + caseID.FindString(target) }

// A tally is what became of one case at one way to one origin.
type tally struct {
	arrived, whole int // requests that a server read, and of those whole ones
	bodies         []string
}

// What arrives at servers of six kinds is what policy judged, or nothing arrives:
// each request that one of them read is one that was allowed, with the method,
// target, host, fields and body that policy was asked about.
func TestWhatArrivesWasJudged(t *testing.T) {
	var b [16]byte
	_, _ = rand.Read(b[:])
	secret := hex.EncodeToString(b[:])
	z := newZoo(t)
	begin := time.Now()
	answers, allowed, resent := sandboxed(t, z, secret)
	took := time.Since(begin)
	z.stop()
	got := map[string]*tally{}
	read, failed, unread := map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range z.seen() {
		if s.Method == "" && s.Error != "" {
			unread[s.Origin]++
			continue
		}
		read[s.Origin]++
		if why := s.differs(secret); why != "" {
			if failed[s.Origin]++; failed[s.Origin] <= 20 {
				t.Errorf("%s read %s %.100s %s: %s", s.Origin, s.Method, s.Target, s.Error, why)
			}
		}
		if s.log { // the recorder behind it says the same, and more
			continue
		}
		at := caseAt(strings.TrimSuffix(s.Origin, ">go"), strings.Join(s.all("X-Case"), "")+" "+s.Target)
		if got[at] == nil {
			got[at] = &tally{}
		}
		got[at].arrived++
		if s.Complete {
			got[at].whole++
			got[at].bodies = append(got[at].bodies, s.SHA256)
		}
	}
	for at, g := range got {
		if g.arrived > allowed[at] {
			t.Errorf("%s: %d arrived, %d were allowed", at, g.arrived, allowed[at])
		}
	}
	for at, n := range allowed { // what a server could not read is one of those that did not arrive
		origin, _, _ := strings.Cut(at, " ")
		if g := got[at]; g == nil || g.arrived < n {
			unread[origin]--
		}
	}
	for origin, n := range unread {
		if n > resent[origin] {
			t.Errorf("%s could not read %d requests that nobody was allowed", origin, n)
		}
	}
	all := corpus()
	report, closed := summary{}, 0
	for _, a := range answers {
		k := all[a.Case]
		g := got[a.Entry.Origin+" "+a.Entry.id(k)]
		if g == nil {
			g = &tally{}
		}
		report.count(k, a, g)
		if why := k.missed(a, g); why != "" {
			// A server may close a connection at the moment that it is used again, and what is
			// not idempotent is not sent again then (RFC 9112, 9.3.1). That is rare.
			if k.want == arrives && g.arrived == 0 && len(a.Statuses) == 1 && a.Statuses[0] == "502" && strings.Contains(a.Text, "upstream_failed") {
				if closed++; closed <= 3 {
					continue
				}
			}
			t.Errorf("%s to %s: %s: %v %q", k.id(), a.Entry.authority(), why, a.Statuses, a.Text[:min(len(a.Text), 300)])
		}
	}
	t.Logf("%d cases, sent %d times in %v\n%s", len(all), len(answers), took.Round(time.Second), report.text(read))
}

// missed says what had to become of a case and did not.
func (k kase) missed(a answer, g *tally) string {
	switch {
	case k.want == refused && k.way != "h2" && len(a.Statuses) > 0 && !strings.Contains(a.Text, "Sallyport-"):
		return "it was refused without a decision"
	case k.want == refused && g.arrived > 0:
		return fmt.Sprintf("%d arrived", g.arrived)
	case k.want == broken && a.Entry == (entry{"apache", tlsPort}): // it ends a stream that was reset as if it were whole
	case k.want == broken && g.whole > 0:
		return fmt.Sprintf("%d arrived whole", g.whole)
	case k.want == arrives && g.whole != k.requests():
		return fmt.Sprintf("%d of %d arrived whole", g.whole, k.requests())
	case k.want == arrives && k.count == 0 && len(g.bodies) == 1 && g.bodies[0] != sum(a.Entry.fill(k.body, k)):
		return "the body is another"
	}
	return ""
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// A summary counts, by technique and origin.
type summary map[string]*[2]int // sent, arrived

func (s summary) count(k kase, a answer, g *tally) {
	for _, key := range []string{k.group, a.Entry.Origin} {
		if s[key] == nil {
			s[key] = &[2]int{}
		}
		s[key][0]++
		if g.arrived > 0 {
			s[key][1]++
		}
	}
}

func (s summary) text(read map[string]int) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%-12s sent %5d, arrived %5d", key, s[key][0], s[key][1])
		if n := read[key]; n > 0 {
			fmt.Fprintf(&b, ", requests read %5d", n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
