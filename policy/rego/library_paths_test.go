package rego

import (
	"math/rand/v2"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/policy"
	"sallyport/proxy/canon"
)

// readings are what servers take a raw path for: as it is, decoded at once, with
// slashes merged, without regard to case, without parameters in segments.
func readings(raw string) []string {
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return nil
	}
	bare := func(p string) string {
		var out []string
		for s := range strings.SplitSeq(p, "/") {
			s, _, _ = strings.Cut(s, ";")
			out = append(out, s)
		}
		return strings.Join(out, "/")
	}
	return []string{decoded, path.Clean(decoded), strings.ToLower(decoded), strings.ToLower(path.Clean(decoded)), bare(decoded), strings.ToLower(path.Clean(bare(decoded)))}
}

func below(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

// hostile 430: whatever path passes the front, what path_under grants is below its
// prefix for each server, and what any server takes for a path below it is one that
// path_near refuses.
func TestPathsAsServersReadThem(t *testing.T) {
	p, err := Load(t.Context(), Options{Name: "p", Deadline: time.Minute, Dir: write(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.path_under(\"/admin/users\")\n\ndeny contains \"near\" if lib.path_near(\"/admin/users\")\n"})})
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"/", "/", "/", "//", "%2F", "%2f", "admin", "admin", "users", "users", "Admin", "USERS", "administrator", "x", "%61dmin", "user%73", ";v=1", ".json", "%20", "%3Bv", "usersx"}
	rnd := rand.New(rand.NewPCG(4, 30))
	granted, refused := 0, 0
	for range 3000 {
		raw := []string{"/", "/admin/users", "/admin/", "/admin"}[rnd.IntN(4)]
		for range 1 + rnd.IntN(7) {
			raw += parts[rnd.IntN(len(parts))]
		}
		plain, segments, err := canon.Path(raw)
		if err != nil {
			continue
		}
		q := question(t)
		q.Request.Path, q.Request.PathRaw, q.Request.Segments = plain, raw, segments
		d := p.Decide(t.Context(), q)
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		near := len(d.Deny) > 0
		for _, r := range readings(raw) {
			if d.Allow && !below(strings.ToLower(r), "/admin/users") {
				t.Errorf("%s is granted, and %s for some server", raw, r)
			}
			if below(r, "/admin/users") && !near {
				t.Errorf("%s is not refused, and %s for some server", raw, r)
			}
		}
		if d.Allow && !near {
			t.Errorf("%s is granted and would not be refused", raw)
		}
		if d.Allow {
			granted++
		}
		if near {
			refused++
		}
	}
	if granted < 20 || refused < 2*granted {
		t.Errorf("%d were granted, %d refused", granted, refused)
	}
}

// The library's own tests, each policy beside them.
func TestLibraryTests(t *testing.T) {
	dirs, err := filepath.Glob("../../policies/library/tests/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		r, err := RunTests(t.Context(), dir, TestOptions{Coverage: true})
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if r.WriteFailures(os.Stderr); r.Failed > 0 || r.Passed == 0 || r.Coverage.Percent < 100 {
			t.Errorf("%s: %d passed, %d failed, %v %% covered", dir, r.Passed, r.Failed, r.Coverage.Percent)
		}
		p, err := Load(t.Context(), Options{Name: dir, Dir: dir})
		if err != nil {
			t.Error(err)
		} else if p.Has(policy.Request) && p.phases[policy.Request].parts == nil {
			t.Errorf("%s: decisions are not kept", dir)
		}
	}
}
