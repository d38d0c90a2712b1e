package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/origin/world"
)

// traced wraps a command so that the system calls which could leave are written
// to a file, in the order in which they happened.
func traced(file string, more ...string) []string {
	return append([]string{"strace", "-f", "-Y", "-y", "-s", "1000000", "-o", file, "-e", "trace=connect,write,writev,sendto,fdatasync", "-e", "signal=none"}, more...)
}

var (
	traceLine    = regexp.MustCompile(`^(\d+)<([^>]*)> +(.*)$`)
	traceResumed = regexp.MustCompile(`^<\.\.\. (\w+) resumed>`)
)

// isRecord knows a write to the log by what is written: the path of a descriptor
// is not to be had of a process that cannot be read, but by root.
func isRecord(call string) bool { return strings.Contains(call, `\"log.prev\"`) }

// effectsBeforeSync reads a trace of the proxy and says for each of n requests,
// whose host and address carry its number, what went towards its upstream
// before the sync that covers its decision had returned.
func effectsBeforeSync(t *testing.T, file string, n int) (violations []string, effects int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written, syncing, durable := map[int]bool{}, map[string][]int{}, map[int]bool{}
	begun := map[string]string{}
	hostOf := regexp.MustCompile(`h(\d\d)\.example\.com`)
	ended := func(pid, call string) {
		switch {
		case strings.HasPrefix(call, "fdatasync("):
			for _, i := range syncing[pid] {
				durable[i] = true
			}
		case strings.HasPrefix(call, "write(") && isRecord(call):
			for _, l := range strings.Split(call, `\n`) {
				if !strings.Contains(l, "egress.request.decision") {
					continue
				}
				for _, m := range hostOf.FindAllStringSubmatch(l, -1) {
					var i int
					fmt.Sscan(strings.TrimPrefix(m[1], "0"), &i)
					written[i] = true
				}
			}
		}
	}
	for line := range strings.Lines(string(b)) {
		m := traceLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[2] == "curl" || m[2] == "sh" {
			continue
		}
		pid, call := m[1], m[3]
		if traceResumed.MatchString(call) {
			if strings.Contains(call, "= 0") || !strings.HasPrefix(begun[pid], "fdatasync(") {
				ended(pid, begun[pid])
			}
			continue
		}
		begun[pid] = call
		if strings.HasPrefix(call, "fdatasync(") { // it covers what was written before it began
			syncing[pid] = nil
			for i := range written {
				syncing[pid] = append(syncing[pid], i)
			}
		} else if !isRecord(call) {
			for i := 1; i <= n; i++ {
				asks := strings.HasPrefix(call, "write(") && strings.Contains(call, fmt.Sprintf(`\3h%02d\7example`, i))
				dials := strings.HasPrefix(call, "connect(") && strings.Contains(call, fmt.Sprintf(`"127.0.1.%d"`, i))
				sends := strings.HasPrefix(call, "write") && strings.Contains(call, fmt.Sprintf(`GET /nonce-%02d `, i))
				if !asks && !dials && !sends {
					continue
				}
				effects++
				if !durable[i] {
					violations = append(violations, fmt.Sprintf("request %d: %.120s", i, call))
				}
			}
		}
		if !strings.Contains(call, "<unfinished ...>") && (strings.HasSuffix(call, "= 0") || !strings.HasPrefix(call, "fdatasync(")) {
			ended(pid, call)
		}
	}
	return violations, effects
}

// hostile 159, 164: nothing goes towards an upstream, no look-up and no
// connection, before the decision is on the disk; and the check knows when it is not.
func TestRecordBeforeEffect(t *testing.T) {
	tool(t, "strace", "strace")
	tool(t, "curl", "curl")
	tool(t, "ip", "iproute2")
	if !world.Enter(t) {
		return
	}
	const n = 16
	names := map[string]string{}
	for i := 1; i <= n; i++ {
		names[fmt.Sprintf("h%02d.example.com", i)] = fmt.Sprintf("127.0.1.%d", i)
	}
	world.Addresses(t)
	resolves(t, names)
	without := filepath.Join(t.TempDir(), "sallyport-without-sync")
	overlay := t.TempDir()
	src, err := os.ReadFile("../../audit/log.go")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(src), "err := unix.Fdatasync(int(f.Fd()))", "var err error", 1)
	abs, err := filepath.Abs("../../audit/log.go")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := json.Marshal(map[string]any{"Replace": map[string]string{abs: filepath.Join(overlay, "log.go")}})
	_, _ = os.WriteFile(filepath.Join(overlay, "log.go"), []byte(changed), 0o644), os.WriteFile(filepath.Join(overlay, "overlay.json"), m, 0o644)
	if changed == string(src) {
		t.Fatal("there is no sync to turn off")
	}
	if err := build(without, "-overlay", filepath.Join(overlay, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(filepath.Dir(without), 0o755)
	with := binary
	defer func() { binary = with }()
	for _, c := range []struct {
		name, binary string
		holds        bool
	}{{"synced", with, true}, {"not synced", without, false}} {
		p := newPlace(t, callers()[0], origin.Options{Address: "0.0.0.0", HTTP1: true})
		trace := filepath.Join(t.TempDir(), "trace")
		binary = c.binary
		b := p.start(t, traced(trace), []string{"--allow", fmt.Sprintf("*.example.com:%d", p.origin.PlainPort)},
			fmt.Sprintf(`for i in 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16; do %s http://h$i.example.com:%d/nonce-$i & done; wait`, code, p.origin.PlainPort))
		if err := b.cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, b.out)
		}
		if len(p.origin.Seen()) != n {
			t.Fatalf("%s: the origin saw %d of %d: %s", c.name, len(p.origin.Seen()), n, b.out)
		}
		bad, effects := effectsBeforeSync(t, trace, n)
		if effects < 3*n {
			t.Errorf("%s: only %d effects were traced", c.name, effects)
		}
		if c.holds && len(bad) > 0 {
			t.Errorf("before the decision was durable:\n%s", strings.Join(bad, "\n"))
		}
		if !c.holds && len(bad) < n {
			t.Errorf("with the sync turned off only %d of %d effects are found wrong", len(bad), effects)
		}
		p.verified()
	}
}

// hostile 151: a sync that fails gives the segment up; what was not acknowledged
// is refused, and a new segment takes what comes then.
func TestSyncFailsUnderRun(t *testing.T) {
	tool(t, "strace", "strace")
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[0], origin.Options{})
	wrap := append(traced("/dev/null"), "-e", "inject=fdatasync:error=EIO:when=4..5")
	b := p.start(t, wrap, []string{"--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)},
		fmt.Sprintf(`for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do echo got $(%s%s); done`, code, p.http("api.example.com", "/")))
	_ = b.cmd.Wait()
	refused, taken := strings.Count(b.out.String(), "got 503"), strings.Count(b.out.String(), "got 200")
	if refused == 0 || taken < 3 || refused+taken != 24 || len(p.origin.Seen()) != taken || !strings.Contains(b.out.String(), "got 503\ngot 200") {
		t.Errorf("%d refused, %d taken, the origin saw %d:\n%s", refused, taken, len(p.origin.Seen()), b.out)
	}
	p.verified()
	if rep, err := audit.Verify(p.log, audit.Expect{}); err != nil || rep.Segments < 2 {
		t.Errorf("%v %v", rep, err)
	}
}

// hostile 149, 159: killed at random moments under load, the log holds after it
// is opened again, and all that an origin saw is in it.
func TestKilledUnderLoad(t *testing.T) {
	tool(t, "curl", "curl")
	rounds := 12
	if os.Getenv("SALLYPORT_SOAK") != "" {
		rounds = 200
	}
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	rnd := rand.New(rand.NewPCG(7, 8))
	flags := []string{"--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)}
	for i := range rounds {
		before := len(p.origin.Seen())
		b := p.start(t, nil, flags, fmt.Sprintf("for j in 1 2 3 4; do curl -sS -o /dev/null --no-progress-meter -Z --parallel-max 8 '%s'$j-'[1-2000]' & done; wait", p.http("api.example.com", fmt.Sprintf("/r%d-", i))))
		for range 1000 {
			if len(p.origin.Seen()) > before {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Duration(rnd.IntN(120)) * time.Millisecond)
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		if len(p.origin.Seen()) == before {
			t.Fatalf("round %d: nothing was sent:\n%s", i, b.out)
		}
	}
	if out := p.run(nil, "true"); out.code != 0 { // opens the log again
		t.Fatalf("%+v", out)
	}
	p.verified()
	decided, lost, ended := map[string]bool{}, 0, 0
	for _, e := range p.records() {
		switch e.Str("event.name") {
		case "egress.request.decision":
			decided[e.Str("url.path")] = true
		case "egress.request.complete":
			ended++
		case "egress.request.lost":
			lost++
		}
	}
	if len(decided) != ended+lost || lost == 0 {
		t.Errorf("%d decisions have %d outcomes and %d marks of a lost one", len(decided), ended, lost)
	}
	seen := p.origin.Seen()
	for _, r := range seen {
		if !decided[r.Target] {
			t.Errorf("the origin saw %s, and the log does not know it", r.Target)
		}
	}
	t.Logf("%d rounds: the origin saw %d, %d decisions, %d outcomes, %d marked lost", rounds, len(seen), len(decided), ended, lost)
}
