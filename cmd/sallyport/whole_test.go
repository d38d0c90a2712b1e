package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/origin"
	"sallyport/origin/world"
)

// rewrite changes the configuration and has it read. It returns what the status
// says then, when that is not what it said before.
func (s *side) rewrite(t *testing.T, edit func(string) string) admin.Status {
	t.Helper()
	client := admin.NewClient(s.control)
	was, err := client.Status(t.Context())
	text, e := os.ReadFile(s.config)
	if err != nil || e != nil {
		t.Fatal(err, e)
	}
	temp := s.config + ".new"
	if err := os.WriteFile(temp, []byte(edit(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, s.config); err != nil {
		t.Fatal(err)
	}
	_ = s.b.cmd.Process.Signal(unix.SIGHUP)
	for range 500 {
		st, err := client.Status(t.Context())
		if err == nil && fmt.Sprint(st.Reasons, st.Policies, st.Sandboxes) != fmt.Sprint(was.Reasons, was.Policies, was.Sandboxes) {
			return st
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nothing changed:\n%s", s.b.out)
	return was
}

func replace(from, to string) func(string) string {
	return func(text string) string { return strings.Replace(text, from, to, 1) }
}

// A sandbox that somebody made by command does not stand in the place of one of the
// configuration, neither at a reload nor at a start, which it cannot prevent:
// hostile 276.
func TestNamesOfTheConfiguration(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		client := admin.NewClient(s.control)
		made, err := client.Create(t.Context(), admin.Create{Name: "agent", Way: "join", Mode: "observe"})
		if err != nil {
			t.Fatal(err)
		}
		ours := fmt.Sprintf("sandboxes:\n  - {name: agent, mode: sealed, explicit: {socket: %s/agent.sock}}\n", filepath.Dir(s.control))
		st := s.rewrite(t, func(text string) string { return text + ours })
		if why := strings.Join(st.Reasons, " "); !strings.Contains(why, "sallyport.yaml:") || !strings.Contains(why, `there is a sandbox "agent" that was made by command`) || !strings.Contains(why, "the configuration before it is in force") {
			t.Errorf("the reload: %q", why)
		}
		s.stop()
		s.begin()
		sb, err := client.Get(t.Context(), "agent")
		if err != nil || sb.Mode != "sealed" || sb.ID == made.Sandbox.ID {
			t.Errorf("after a start: %+v %v", sb, err)
		}
		s.stop()
		if !slices.ContainsFunc(p.records(), func(e audit.Entry) bool {
			return e.Fields["sandbox.id"] == made.Sandbox.ID && e.Fields["detail.action"] == "remove" && e.Fields["detail.reason"] == "there is another of this name"
		}) {
			t.Error("there is no record of what became of the other")
		}
	})
}

// A reload that cannot make a socket is not taken; where only on the way it is seen
// that something cannot be done, it says so, and says no secret: hostile 277.
func TestReloadIsWholeOrSaysSo(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "sandboxes: []\n")
		run := filepath.Dir(s.control)
		was, err := admin.NewClient(s.control).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(run, "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		st := s.rewrite(t, func(text string) string {
			text = strings.Replace(text, "dir: policies/strict", "dir: policies/web", 1)
			return strings.Replace(text, "sandboxes: []", "sandboxes:\n  - {name: one, explicit: {socket: "+file+"}}", 1)
		})
		if why := fmt.Sprint(st.Reasons); !strings.Contains(why, "is there and is no socket") || !strings.Contains(why, "the configuration before it is in force") || fmt.Sprint(st.Policies) != fmt.Sprint(was.Policies) || st.Sandboxes != 0 {
			t.Errorf("a file where a socket is to be: %q, policies %v, before %v", why, st.Policies, was.Policies)
		}
		// A directory that others can write is seen when the CA is put there.
		open := filepath.Join(run, "open")
		if err := os.MkdirAll(open, 0o777); err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = os.Chown(open, p.who.uid, -1)
		}
		s.anew(t, replace("sandboxes:\n  - {name: one, explicit: {socket: "+file+"}}", "sandboxes:\n  - {name: one, ca: "+open+"/ca.pem, explicit: {socket: "+run+"/one.sock}}"))
		_ = os.Chmod(open, 0o777)
		_ = os.Remove(filepath.Join(open, "ca.pem"))
		st = s.rewrite(t, replace("dir: policies/strict", "dir: policies/raw"))
		for range 100 {
			if len(st.Reasons) > 0 && strings.Contains(s.b.out.String(), "not all of it could be done") {
				break
			}
			time.Sleep(10 * time.Millisecond)
			st, _ = admin.NewClient(s.control).Status(t.Context())
		}
		if why := fmt.Sprint(st.Reasons); !strings.Contains(why, "in force, but not all of it") || !strings.Contains(why, "others can write the directory") || !strings.Contains(s.b.out.String(), "not all of it could be done") {
			t.Errorf("a CA that cannot be put where it is wanted: %q\n%s", why, s.b.out)
		}
		// A secret that stands where it should not.
		st = s.rewrite(t, replace("api.example.com: 127.0.0.1", `api.example.com: "`+canary+`"`))
		if why := fmt.Sprint(st.Reasons); strings.Contains(why, canary) || !strings.Contains(why, "network.resolve") {
			t.Errorf("a secret in what a status says: %q", why)
		}
	})
}

// When what is kept of sandboxes cannot be written, a patch that lets more pass is
// not made, one that stops everything is, and none is made in half: hostile 278.
func TestStateThatCannotBeWritten(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	state := filepath.Join(filepath.Dir(p.dir), "state", "ca")
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}
	owner := p.who.uid
	if owner == 0 {
		owner = os.Getuid()
	}
	if err := unix.Mount("none", state, "tmpfs", 0, fmt.Sprintf("size=128k,mode=700,uid=%d", owner)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(state, unix.MNT_DETACH) })
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	for _, name := range []string{"one", "two"} {
		if _, err := client.Create(t.Context(), admin.Create{Name: name, Way: "join", Mode: "sealed"}); err != nil {
			t.Fatal(err)
		}
	}
	fill := filepath.Join(state, "fill")
	f, err := os.Create(fill)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	_ = f.Close()
	observe, paused := "observe", admin.Paused
	_, err = client.Change(t.Context(), "one", admin.Patch{Mode: &observe, Policy: []string{"web"}})
	if err == nil || !strings.Contains(err.Error(), "nothing was changed: what is kept of one over a restart could not be written") {
		t.Errorf("a patch: %v", err)
	}
	if sb, err := client.Get(t.Context(), "one"); err != nil || sb.Mode != "sealed" || !slices.Equal(sb.Policy, []string{"strict"}) {
		t.Errorf("after a patch that failed: %+v %v", sb, err)
	}
	_, err = client.Change(t.Context(), "two", admin.Patch{State: &paused})
	if err == nil || !strings.Contains(err.Error(), "two is paused, but a restart would not know") {
		t.Errorf("a pause: %v", err)
	}
	if sb, err := client.Get(t.Context(), "two"); err != nil || sb.State != paused {
		t.Errorf("after a pause that could not be kept: %+v %v", sb, err)
	}
	if _, err := client.Create(t.Context(), admin.Create{Name: "three", Way: "join"}); err == nil {
		t.Error("a sandbox was made that cannot be kept")
	}
	if all, err := client.List(t.Context(), nil); err != nil || len(all) != 2 {
		t.Errorf("%v %v", all, err)
	}
	if es, err := os.ReadDir(filepath.Join(state, "sandboxes")); err != nil || len(es) != 4 {
		t.Errorf("what is kept: %v %v", es, err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Change(t.Context(), "one", admin.Patch{Mode: &observe}); err != nil {
		t.Error(err)
	}
	s.stop()
	var errors []string
	for _, e := range p.records() {
		if a, _ := e.Fields["detail.action"].(string); strings.HasSuffix(a, ".error") {
			errors = append(errors, fmt.Sprint(e.Fields["sandbox.name"], " ", a))
		}
	}
	if !slices.Equal(errors, []string{"one change.error", "two change.error", "three create.error"}) {
		t.Errorf("records of what failed: %v", errors)
	}
}

// What somebody took away from a sandbox of the configuration stays away when the
// sidecar begins again, until the configuration says something else: hostile 284.
func TestPatchesOutlastARestart(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		sock := filepath.Join(filepath.Dir(s.control), "told.sock")
		s.anew(t, func(text string) string {
			return text + "sandboxes:\n  - {name: told, labels: {team: web}, props: {tenant: 7}, explicit: {socket: " + sock + "}}\n"
		})
		client := admin.NewClient(s.control)
		sealed, other, rate := "sealed", "other", 3
		if _, err := client.Change(t.Context(), "told", admin.Patch{Mode: &sealed, Labels: map[string]*string{"team": &other}, Policy: []string{"strict", "raw"}, Limits: &admin.LimitsPatch{Rate: &rate}}); err != nil {
			t.Fatal(err)
		}
		want := func(when, said string) {
			t.Helper()
			sb, err := client.Get(t.Context(), "told")
			if got := fmt.Sprint(sb.Mode, sb.Labels, sb.Props, sb.Policy, sb.Limits.Rate); err != nil || got != said {
				t.Errorf("%s: %s, want %s (%v)", when, got, said, err)
			}
		}
		want("patched", "sealedmap[team:other] map[tenant:7] [strict raw] 3")
		s.kill()
		s.begin()
		want("after it was killed", "sealedmap[team:other] map[tenant:7] [strict raw] 3")
		s.stop()
		s.begin()
		want("after another start", "sealedmap[team:other] map[tenant:7] [strict raw] 3")
		if out := said(t, s.control, "PATCH", "/v1/sandboxes/told", `{"policy":[]}`); !strings.HasPrefix(out, "200") {
			t.Fatal(out)
		}
		s.anew(t, replace("default_policy: [strict]", "default_policy: [raw]"))
		want("with other default policies", "sealedmap[team:other] map[tenant:7] [raw] 3")
		s.anew(t, replace("tenant: 7", "tenant: 8"))
		want("when the configuration says otherwise", "enforcemap[team:web] map[tenant:8] [raw] 0")
		s.stop()
	})
}
