package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"sallyport/origin"
)

// What a run did can be proved to whoever kept a checkpoint and a key of its log,
// and what was changed afterwards shows.
func TestAuditIsProved(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.sh([]string{"--allow", p.at("api.example.com")}, "curl -sS "+p.https("api.example.com", "/echo")+" >/dev/null; curl -sS "+p.https("other.example.com", "/"))
		if out.code != 0 {
			t.Fatal(out)
		}
		keep := func(name string, args ...string) string {
			o := p.exec(args...)
			if o.code != 0 || o.stderr != "" {
				t.Fatalf("%v: %+v", args, o)
			}
			file := filepath.Join(p.dir, name)
			if err := os.WriteFile(file, []byte(o.stdout), 0o644); err != nil {
				t.Fatal(err)
			}
			return file
		}
		checkpoint := keep("kept.checkpoint", "audit", "checkpoint", p.log)
		pub, err := os.ReadFile(keep("kept.pub", "audit", "checkpoint", "--key", p.log))
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimSpace(string(pub))
		if o := p.exec("audit", "verify", "--anchor", checkpoint, "--key", key, p.log); o.code != 0 || !strings.Contains(o.stdout, "those that were kept elsewhere") || !strings.Contains(o.stdout, "the one that was given") {
			t.Error(o)
		}
		refused := p.find(map[string]string{"event.name": "egress.request.decision", "policy.decision": "deny"})
		if len(refused) != 1 {
			t.Fatal(len(refused), "refusals")
		}
		id := refused[0].Str("event.id")
		proof := keep("proof.json", "audit", "prove", id, p.log)
		if o := p.exec("audit", "prove", "--check", proof, "--key", key); o.code != 0 || !strings.Contains(o.stdout, `"policy.code":"default_deny"`) {
			t.Error(o)
		}
		b, err := os.ReadFile(proof)
		if err != nil {
			t.Fatal(err)
		}
		forged := filepath.Join(p.dir, "forged.json")
		if err := os.WriteFile(forged, []byte(strings.Replace(string(b), "default_deny", "default_cony", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if o := p.exec("audit", "prove", "--check", forged, "--key", key); o.code != 1 || !strings.Contains(o.stdout, "proves nothing") {
			t.Error(o)
		}
		for want, args := range map[string][]string{
			"there is no such record":       {"audit", "prove", "01a212db-05c2-7711-8078-d63dcaba3acc", p.log},
			"which record?":                 {"audit", "prove"},
			"takes a proof and --key":       {"audit", "prove", "--check", proof},
			"this is no proof":              {"audit", "prove", "--check", checkpoint, "--key", key},
			"this is no checkpoint":         {"audit", "verify", "--anchor", proof, p.log},
			"no such file":                  {"audit", "verify", "--anchor", "/nope", p.log},
			"there is no audit log":         {"audit", "verify", p.dir},
			"nothing of this log is signed": {"audit", "checkpoint", p.dir},
		} {
			if o := p.exec(args...); o.code == 0 || !strings.Contains(o.stderr+o.stdout, want) {
				t.Errorf("%v: %+v, want %q", args, o, want)
			}
		}
		_, another, err := note.GenerateKey(rand.Reader, "another")
		if err != nil {
			t.Fatal(err)
		}
		if o := p.exec("audit", "verify", "--key", another, p.log); o.code != 1 || !strings.Contains(o.stdout, "another key signs this log") {
			t.Error(o)
		}
		for _, none := range []string{"", "foo"} {
			if o := p.exec("audit", "verify", "--key", none, p.log); o.code != 125 || !strings.Contains(o.stderr, "is no key") {
				t.Error(o)
			}
		}
		segs, _ := filepath.Glob(filepath.Join(p.log, "seg-*"))
		whole, err := os.ReadFile(segs[0])
		if err != nil {
			t.Fatal(err)
		}
		cut := strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n') + 1
		if err := os.WriteFile(segs[0], whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, flags := range [][]string{nil, {"--anchor", checkpoint}} {
			if o := p.exec(append([]string{"audit", "verify", p.log}, flags...)...); o.code != 1 || !strings.Contains(o.stdout, "its end is missing") {
				t.Errorf("%v: %+v", flags, o)
			}
		}
	})
}
