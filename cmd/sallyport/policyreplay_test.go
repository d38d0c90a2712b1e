package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/policy/rego"
	"sallyport/sandbox"
)

const decidedThen = `package egress

allow if input.destination.host in {"api.example.com", "files.example.com"}

deny contains "old_client" if input.request.headers["user-agent"][0] == "old"

deny contains "wrong_key" if input.request.headers.authorization[0] == "wrong"
`

// writeLog writes a log of as many decisions, of which each has a path of its own: one of
// a hundred came with a key, one of a hundred was denied, one of two hundred had nothing
// that allows it.
func writeLog(t *testing.T, n int) string {
	t.Helper()
	dir := policyDir(t, map[string]string{"p.rego": decidedThen})
	p, err := rego.Load(t.Context(), rego.Options{Name: "then", Dir: dir, Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	sb := &sandbox.Sandbox{ID: "0198", Name: "build", Labels: map[string]string{"team": "web"}, Identity: sandbox.Identity{Way: sandbox.WayRun}}
	log := filepath.Join(t.TempDir(), "log")
	l, err := audit.Open(log, audit.Options{SegmentBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		host, method, h := "api.example.com", []string{"GET", "POST"}[i%2], http.Header{"User-Agent": {"new"}}
		switch {
		case i%200 == 7:
			host = "other.example.com"
		case i%100 == 3:
			h.Set("User-Agent", "old")
		case i%100 == 5:
			h.Set("Authorization", "right")
		case i%10 == 9:
			host, method = "files.example.com", "GET"
		}
		a, err := dest.ParseAddr(host + ":443")
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/v1/items/%d", i)
		if h.Get("User-Agent") == "old" {
			path = fmt.Sprintf("/v0/%d", i)
		}
		d := p.Decide(t.Context(), &policy.Question{Phase: policy.Request, Sandbox: sb, Destination: policy.Destination{Addr: a, Scheme: "https"}, Request: &policy.RequestFacts{Method: method, Header: h}})
		ev := &audit.Event{Name: audit.RequestDecision, Sandbox: audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: "run", Labels: sb.Labels}, Connection: audit.Connection{ID: audit.NewID(), Ingress: "transparent"},
			Request:  &audit.Request{Method: method, Scheme: "https", Host: host, Port: 443, Path: path, Protocol: "1.1", Size: -1},
			Decision: &audit.Decision{Effect: "allow", Action: "forwarded", Phase: string(d.Phase), Policy: d.Policy, Digest: d.Digest, Input: d.Input, Reads: d.Reads}}
		if r, refused := d.Refusal(); refused {
			ev.Decision.Effect, ev.Decision.Code = "deny", r.Code
		}
		if err := l.Append(ev); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(&audit.Event{Name: audit.RequestComplete, Of: ev.ID, Sandbox: ev.Sandbox, Result: &audit.Result{Outcome: "success", Status: 200}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return log
}

// onTerminal runs the binary with a terminal for its standard error, and returns the
// most memory that it had.
func onTerminal(t *testing.T, args ...string) (stdout, stderr string, code int, rss int64) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &out, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close()
	said := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // it ends with EIO
		said <- string(b)
	}()
	err = cmd.Wait()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	return out.String(), <-said, cmd.ProcessState.ExitCode(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// A log of a hundred thousand requests is asked again, and learnt from, in as much
// memory as one of ten thousand, and says how far it is. What the record does not have
// is undecidable, and what was learnt flips nothing.
func TestManyRecordedRequests(t *testing.T) {
	const few, many = 10_000, 100_000
	logs := map[int]string{few: writeLog(t, few), many: writeLog(t, many)}
	candidate := policyDir(t, map[string]string{"egress.rego": "package egress\n\nallow if {\n\tinput.destination.host == \"api.example.com\"\n\tinput.request.method == \"GET\"\n}\n\nallow if {\n\tinput.destination.host == \"api.example.com\"\n\tinput.request.headers.authorization[0] == \"right\"\n}\n\nallow if {\n\tinput.destination.host == \"files.example.com\"\n\tinput.request.headers.range\n}\n\nallow if input.destination.host == \"other.example.com\"\n"})
	var most [2]int64
	for i, n := range []int{few, many} {
		began := time.Now()
		out, said, code, rss := onTerminal(t, "policy", "replay", "--json", "--policy", candidate, logs[n])
		most[i] = rss
		var r struct {
			Decisions, Same, Denied, Allowed, Changed, Undecidable int
			Groups                                                 []struct{ Kind, Host, Method, Was, Now, Rule, What string }
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, said)
		}
		t.Logf("%d decisions were asked again in %v, with at most %d KiB: %+v", r.Decisions, time.Since(began).Round(time.Millisecond), rss>>10, r)
		// Of api.example.com what is read was known to be absent, but for the keys: redacted.
		if code != 1 || r.Decisions != n || r.Undecidable != n/100+n/10 || r.Allowed != n/200 {
			t.Errorf("exit code %d: %+v", code, r)
		}
		if r.Same+r.Denied+r.Allowed+r.Changed+r.Undecidable != n {
			t.Errorf("not all are counted: %+v", r)
		}
		for _, want := range []string{"request.headers.authorization is redacted", "request.headers.range is not recorded"} {
			if !strings.Contains(out, want) {
				t.Errorf("nothing says %q", want)
			}
		}
		if n == many && (!strings.Contains(said, " %") || !strings.Contains(said, "decisions")) {
			t.Errorf("nothing says how far it is: %q", said)
		}
	}
	if most[1] > most[0]+most[0]/4+8<<20 {
		t.Errorf("%d requests take %d KiB, and %d take %d", few, most[0]>>10, many, most[1]>>10)
	}
	for i, n := range []int{few, many} {
		dir := filepath.Join(t.TempDir(), "learnt")
		began := time.Now()
		_, said, code, rss := onTerminal(t, "policy", "learn", "--out", dir, logs[n])
		most[i] = rss
		t.Logf("it was learnt in %v, with at most %d KiB: %s", time.Since(began).Round(time.Millisecond), rss>>10, said[strings.LastIndex(said, "\x1b[K")+3:])
		if code != 0 || !strings.Contains(said, " 0 flips, ") || !strings.Contains(said, " 0 undecidable") || !strings.Contains(said, grouped(n)+" decisions asked again: "+grouped(n-n/100)+" the same") {
			t.Errorf("exit code %d: %s", code, said)
		}
		for _, args := range [][]string{{"policy", "check", "--strict", dir}, {"policy", "test", dir}, {"policy", "fmt", "--check", dir}} {
			if out, said, code := beside(t, dir, args...); code != 0 {
				t.Fatalf("%v: exit code %d\n%s%s", args, code, out, said)
			}
		}
	}
	if most[1] > most[0]+most[0]/4+8<<20 {
		t.Errorf("to learn of %d requests takes %d KiB, and of %d %d", few, most[0]>>10, many, most[1]>>10)
	}
}
