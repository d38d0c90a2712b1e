package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// What a refusal shows leads to its record, as it is in the log, by command and
// by API, also after a restart; and no secret is in it.
//
// hostile 214: what was decided is found, however much was decided since.
func TestDecisionsAreFound(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		ask := func(args ...string) output { t.Helper(); return p.exec(append(args, "--control", s.control)...) }
		u := p.https("api.example.com", "/echo")
		out := s.enrolled([]string{"--name", "box"}, "curl -sS -o /dev/null '"+u+"?x="+canary+"&y=1'; curl -sS -d "+canary+" "+p.https("api.example.com", "/"+canary))
		id := regexp.MustCompile(`\(decision ([0-9a-f-]{36})\)`).FindStringSubmatch(out.stdout)
		if id == nil {
			t.Fatalf("%+v", out)
		}
		s.enrolled([]string{"--name", "other"}, "curl -sS -o /dev/null "+u)

		inLog := map[string]string{}
		for _, e := range p.records() {
			inLog[e.Str("event.id")] = string(e.Line)
		}
		var all []admin.Decision
		list := ask("decisions", "--json")
		if err := json.Unmarshal([]byte(list.stdout), &all); err != nil || len(all) != 3 {
			t.Fatalf("%+v", list)
		}
		for i, d := range all {
			var e struct {
				ID   string `json:"event.id"`
				Name string `json:"sandbox.name"`
			}
			if err := json.Unmarshal(d.Record, &e); err != nil || !same(t, inLog[e.ID], string(d.Record)) || (e.Name == "other") != (i == 0) {
				t.Errorf("%d: %s is not the record %s", i, d.Record, inLog[e.ID])
			}
			if i != 1 && len(d.Then) != 1 {
				t.Errorf("%d has %d outcomes", i, len(d.Then))
			}
		}
		if out := ask("decisions", "--sandbox", "nope"); out.code != 125 || !strings.Contains(out.stderr, "nope") {
			t.Errorf("%+v", out)
		}
		if out := ask("decisions", "--code", "nope"); out.code != 0 || out.stdout != "" || !strings.Contains(out.stderr, "nothing of that kind was decided") {
			t.Errorf("%+v", out)
		}
		if out := ask("decisions"); strings.Count(out.stdout, "\n") != 3 || !strings.Contains(strings.Split(out.stdout, "\n")[2], "other") {
			t.Errorf("%+v", out)
		}
		if out := ask("decisions", "--denied", "--sandbox", "box"); strings.Count(out.stdout, "\n") != 1 || !strings.Contains(out.stdout, "default_deny") {
			t.Errorf("%+v", out)
		}
		if out := ask("decisions", "--limit", "1", "--decision", "allow"); strings.Count(out.stdout, "\n") != 1 || !strings.Contains(out.stdout, "other") {
			t.Errorf("%+v", out)
		}
		one := func() {
			t.Helper()
			if out := ask("decisions", id[1]); out.code != 0 || !strings.Contains(out.stdout, `"policy.code": "default_deny"`) || !strings.Contains(out.stdout, `"event.id": "`+id[1]+`"`) {
				t.Errorf("%+v", out)
			}
			b, err := exec.Command("curl", "-sS", "--fail", "--unix-socket", s.control, "http://x/v1/decisions/"+id[1]).Output()
			if err != nil || !same(t, `{"record":`+inLog[id[1]]+`}`, string(b)) {
				t.Errorf("%v %s", err, b)
			}
			p.noCanary(list, output{0, string(b), ""})
		}
		one()
		for args, want := range map[string]string{
			"decisions 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11": "there is no record 01981f0a-6d6b-7a55-b3c1-9a3c9a7f0e11 in the log",
			"decisions ../../etc/passwd":                     "is not the id of a decision",
			"decisions --limit 0 --denied --decision allow":  "say different things",
			"decisions --decision maybe":                     `outcome "maybe": expected allow, deny`,
			"decisions --limit 5000":                         `limit "5000": expected a number from 1 to 1000`,
			"decisions --denied " + id[1]:                    "--denied chooses among many",
		} {
			if out := ask(strings.Fields(args)...); out.code != 125 || !strings.Contains(out.stderr, want) {
				t.Errorf("%s: %+v", args, out)
			}
		}
		s.stop()
		s.begin()
		if out := ask("decisions"); out.code != 0 || out.stdout != "" {
			t.Errorf("%+v", out)
		}
		one()
		s.stop()
	})
}

// same reports whether two texts are the same JSON.
func same(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	m, _ := json.Marshal(x)
	n, _ := json.Marshal(y)
	return string(m) == string(n)
}

// Credentials and policies are told of by name and state; a value never is.
func TestCredentialsAndPoliciesAreTold(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	secret := filepath.Join(filepath.Dir(p.dir), "secret")
	if err := os.WriteFile(secret, []byte(canary+"-in-a-file"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := p.sidecar(t, "sandboxes:\n  - {name: fixed, policy: [web, raw], props: {tenant: t}}\n  - {name: usual}\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	entry := "credentials:\n  - {name: kept, source: 'file:" + secret + "', bind: 'https://kept.example:8443', as: 'header:X-Key'}\n"
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "credentials:\n", entry, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) output { t.Helper(); return p.exec(append(args, "--control", s.control)...) }
	var out output
	for range 200 {
		if out = ask("credential", "ls"); strings.Contains(out.stdout, "kept") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if out.code != 0 || !regexp.MustCompile(`(?m)^kept +ready +header +header:X-Key +file:\S*/secret +https://kept.example:8443`).MatchString(out.stdout) || !regexp.MustCompile(`(?m)^api +ready +bearer +header:Authorization +env:TOKEN`).MatchString(out.stdout) {
		t.Errorf("%+v", out)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	gone, asJSON := ask("credential", "ls"), ask("credential", "ls", "--json")
	if gone.code != 1 || !regexp.MustCompile(`(?m)^kept +unavailable .*no such file`).MatchString(gone.stdout) || asJSON.code != 1 || !strings.Contains(asJSON.stdout, `"state": "unavailable"`) {
		t.Errorf("%+v\n%+v", gone, asJSON)
	}
	p.noCanary(out, gone, asJSON)
	out = ask("policy", "ls")
	if out.code != 0 || !regexp.MustCompile(`(?m)^raw +[0-9a-f]{12} +fixed`).MatchString(out.stdout) || !regexp.MustCompile(`(?m)^strict +yes +[0-9a-f]{12} +usual`).MatchString(out.stdout) {
		t.Errorf("%+v", out)
	}
	var all []admin.Policy
	if err := json.Unmarshal([]byte(ask("policy", "ls", "--json").stdout), &all); err != nil || len(all) != 3 || len(all[2].Digest) != 64 || all[2].Credentials[0] != "api" || all[2].Sandboxes[0] != "fixed" {
		t.Errorf("%+v %v", all, err)
	}
	s.stop()
}
