package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// The status that people read says what matters, and begins with whether the
// sidecar is ready.
func TestStatusForPeople(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "sandboxes: [{name: one}, {name: two}, {name: three}]\n")
		if out := p.exec("sandbox", "pause", "two", "--control", s.control); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		out := p.exec("status", "--control", s.control)
		if out.code != 0 || !strings.HasPrefix(out.stdout, "ready\n") {
			t.Errorf("%+v", out)
		}
		for _, want := range []string{"sandboxes    3: 2 active, 1 paused\n", "policies     raw, strict, web\n", ", no capabilities, seccomp filter, Landlock on\n", "good until ", "4096 connections and 1024 requests"} {
			if !strings.Contains(out.stdout, want) {
				t.Errorf("%q is not in %s", want, out.stdout)
			}
		}
		if strings.Contains(out.stdout, "because") || strings.Contains(out.stdout, "but") {
			t.Errorf("%s", out.stdout)
		}
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.config, append(text, "polices: []\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if out = p.exec("status", "--control", s.control); strings.Contains(out.stdout, "  but ") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if out.code != 0 || !strings.HasPrefix(out.stdout, "ready\n  but ") || !strings.Contains(out.stdout, "did you mean policies?") {
			t.Errorf("%+v", out)
		}
	})
}

func TestStatusThatIsBad(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	st := admin.Status{Version: "v1", Started: now.Add(-90 * time.Minute), Sandboxes: 7, Reasons: []string{"the log\x1b is full\nof dust"}, Limits: admin.Limits{Rate: 5},
		Confinement: admin.Confinement{UID: 9, Seccomp: "off", Capabilities: admin.Capabilities{Effective: []string{"net_admin"}}, Notes: []string{"look"}}}
	var b strings.Builder
	if err := printStatus(&b, st, nil, now); err != nil {
		t.Fatal(err)
	}
	want := `not ready
  because      the log? is full
               of dust
  since        2026-01-02 01:34:05 UTC, for 1h 30m
  version      v1
  sandboxes    7
  limits       0 connections and 0 requests under way for a sandbox, 5 requests in a second
  policies     none
  credentials  none
  CA           not known
  log          ` + `
  confined     user 9, CAPABILITIES net_admin, CAN GET PRIVILEGES, seccomp off, Landlock off (the kernel has none)
  note         look
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	for d, want := range map[time.Duration]string{3 * time.Second: "3s", 63 * time.Second: "1m 3s", 47 * time.Hour: "47h 0m", 49 * time.Hour: "2 days"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
}

func TestSandboxInShort(t *testing.T) {
	for want, sb := range map[string]admin.Sandbox{
		"box: active, mode enforce, policy org+web": {Name: "box", State: "active", Mode: "enforce", Policy: []string{"org", "web"}},
		"box: paused, mode sealed, policy web, labels a=1,b=2, properties tenant, requests 7, rate 5": {Name: "box", State: "paused", Mode: "sealed", Policy: []string{"web"},
			Labels: map[string]string{"b": "2", "a": "1"}, Props: map[string]any{"tenant": "t-7"}, Limits: admin.Limits{Requests: 7, Rate: 5}},
	} {
		if got := inShort(sb); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
