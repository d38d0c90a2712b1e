package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"sallyport/admin"
	"sallyport/origin"
)

// A command is given what looks like its token and is none; what it shows of that
// becomes the token in one place, and goes nowhere else (hostile 97, 113, 114, 115).
func TestPlaceholders(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		p.env = append(p.env, "TOKEN="+canary)
		u, other := p.https("api.example.com", "/echo"), p.https("other.example.com", "/echo")
		out := p.sh([]string{"--allow", p.at("api.example.com"), "--allow", p.at("other.example.com"),
			"--credential", "api=env:TOKEN@" + p.https("api.example.com", "") + ",placeholder=TOKEN,shape=sk-proj-{48},client_value=require_placeholder"},
			`echo "given: $TOKEN"
c() { echo; curl -sS "$@"; }
c -H "Authorization: Bearer $TOKEN" `+u+`
c `+u+`
c -H "Authorization: Bearer $TOKEN" -H "X-Also: $TOKEN" `+u+`
c -H "Authorization: Bearer $TOKEN" -d "q=$TOKEN" `+u+`
c -H "Authorization: Bearer $TOKEN" "`+u+`?q=$(echo $TOKEN | cut -c1-30)"
c -H "Authorization: Bearer $TOKEN" `+other+`
c -u "me:$TOKEN" `+other+`
c -d "$(echo $TOKEN | base64)" `+other)
		for code, n := range map[string]int{"placeholder_required": 1, "placeholder_misplaced": 6} {
			if got := strings.Count(out.stdout, code); got != n {
				t.Errorf("%d times %s: %+v", got, code, out)
			}
			if got := len(p.find(map[string]string{"event.name": "egress.request.complete", "error.type": code})); got != n {
				t.Errorf("%d records of %s", got, code)
			}
		}
		given := regexp.MustCompile(`given: (sk-proj-[A-Za-z0-9]{48})\n`).FindStringSubmatch(out.stdout)
		if given == nil {
			t.Fatalf("it is given nothing: %+v", out)
		}
		seen := p.origin.Seen()
		if len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer "+canary {
			t.Errorf("the origin saw %+v", seen)
		}
		for _, r := range seen {
			if strings.Contains(r.Header.Get("Authorization")+r.Body+r.Target, given[1]) {
				t.Errorf("the placeholder arrives in %+v", r)
			}
		}
		p.noCanary(out)
	})
}

// A sidecar tells what a sandbox is given, gives it to the command, and gives the same
// after a restart.
func TestPlaceholdersOfSidecars(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Replace(string(text), "source: env:TOKEN,", "source: env:TOKEN, client_value: require_placeholder, placeholder: {env: API_KEY, shape: 'ghp_{36}'},", 1)
		if err := os.WriteFile(s.config, []byte(said), 0o644); err != nil || said == string(text) {
			t.Fatal(err)
		}
		s.stop()
		s.begin()
		client := admin.NewClient(s.control)
		made, err := client.Create(t.Context(), admin.Create{Name: "kept", Way: "join"})
		if err != nil {
			t.Fatal(err)
		}
		given := made.Sandbox.Placeholders["API_KEY"]
		out := s.enrolled([]string{"--name", "box", "--label", "team=web", "--prop", "tenant=t", "--policy", "web"}, `echo "given: $API_KEY"; curl -sS -H "Authorization: Bearer $API_KEY" `+p.https("api.example.com", "/echo")+`; curl -sS -H "Authorization: Bearer `+given+`" `+p.https("api.example.com", "/echo"))
		if !regexp.MustCompile(`^given: ghp_[A-Za-z0-9]{36}\n`).MatchString(out.stdout) || strings.Count(out.stdout, "[REDACTED:api]") != 1 || strings.Count(out.stdout, "placeholder_required") != 1 || given == "" || strings.Contains(out.stdout, "given: "+given) {
			t.Errorf("%+v, and another is given %q", out, given)
		}
		s.stop()
		s.begin()
		sb, err := admin.NewClient(s.control).Get(context.WithoutCancel(t.Context()), "kept")
		if err != nil || sb.Placeholders["API_KEY"] != given {
			t.Errorf("after a restart %q, before it %q: %v", sb.Placeholders["API_KEY"], given, err)
		}
		if out := p.exec("sandbox", "show", "--control", s.control, "kept"); !strings.Contains(out.stdout, given) {
			t.Errorf("show says %+v", out)
		}
		s.stop()
		p.noCanary(out)
	})
}
