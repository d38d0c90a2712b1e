package rego

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/policy"
	"sallyport/sandbox"
)

// keptOf is what a record has of what a decision was about.
func keptOf(t *testing.T, d *policy.Decision) *Kept {
	t.Helper()
	var in map[string]any
	var reads []string
	if err := json.Unmarshal(d.Input, &in); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(d.Reads, &reads); err != nil {
		t.Fatal(err)
	}
	k := &Kept{}
	if err := k.Recorded(in, reads); err != nil {
		t.Fatal(err)
	}
	return k
}

// said is what a decision says, whoever made it and however long that took.
func said(d *policy.Decision) policy.Decision {
	out := *d
	out.Took, out.Steps, out.Cached, out.Input, out.Reads = 0, 0, false, nil, nil
	if out.Err != nil {
		out.Err = errShape
	}
	for i := range out.Deny {
		if out.Deny[i].Code == policy.CodeUncertain {
			out.Deny = []policy.Denial{{Code: policy.CodeUncertain}}
			break
		}
	}
	return out
}

// Whatever policy decided and whatever is asked now, an answer made of a record is the
// one that the question itself gets; and of what a policy recorded for itself, it
// lacks only what was redacted.
func TestAgainIsSound(t *testing.T) {
	rounds, questions := 60, 40
	if os.Getenv("SALLYPORT_SOAK") != "" {
		rounds = 6000
	}
	boxes := []*sandbox.Sandbox{{ID: "1", Name: "a", Labels: map[string]string{"team": "web"}, Props: map[string]any{"n": 1}}, {ID: "2", Name: "b", Props: map[string]any{"q": []any{"2"}}}}
	load := func(seed, n uint64) (*Policy, map[string]string) {
		w := &writer{Rand: rand.New(rand.NewPCG(seed, n))}
		files := w.policies()
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, files), Deadline: time.Minute, Uncached: true})
		if err != nil {
			return nil, nil
		}
		return p, files
	}
	asked, answered, own := 0, 0, 0
	for i := range rounds {
		old, _ := load(3, uint64(i))
		now, files := load(4, uint64(i))
		if old == nil || now == nil {
			continue
		}
		r := rand.New(rand.NewPCG(5, uint64(i)))
		for range questions {
			q := randomQuestion(r, boxes)
			d := old.Decide(t.Context(), q)
			asked++
			got, gap := now.Again(t.Context(), policy.Request, keptOf(t, d), time.Now())
			if gap == nil {
				answered++
				if want := said(now.Decide(t.Context(), q)); !reflect.DeepEqual(said(got), want) {
					t.Fatalf("%s\n%s\nof %s with %s\n got %+v\nwant %+v", files["p.rego"], files["lib/l.rego"], d.Input, d.Reads, said(got), want)
				}
			}
			if got, gap := old.Again(t.Context(), policy.Request, keptOf(t, d), time.Now()); gap == nil {
				own++
				if !reflect.DeepEqual(said(got), said(d)) {
					t.Fatalf("%s with %s\n got %+v\nwant %+v", d.Input, d.Reads, said(got), said(d))
				}
			} else if gap.Why != wasRedacted && !slices.ContainsFunc(bodies["request"], func(v string) bool { return strings.HasPrefix(gap.Path+".", "request."+v+".") }) {
				t.Fatalf("%s with %s: %+v", d.Input, d.Reads, gap)
			}
		}
	}
	t.Logf("of %d, %d could be answered again by another policy, %d by the same", asked, answered, own)
	if asked < rounds*questions/2 || answered < asked/20 || own < asked*3/4 {
		t.Errorf("of %d, only %d could be answered again by another policy, %d by the same", asked, answered, own)
	}
}

// What is known of a body depends on whether it was read, so a policy that reads it
// cannot be told what one that did not was told.
func TestAgainOfBodies(t *testing.T) {
	load := func(text string) *Policy {
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, map[string]string{"p.rego": "package egress\n\nallow if {\n\t" + text + "\n}\n"}), Uncached: true, Deadline: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	state, body := `input.request.body_state in {"unparsed", "none"}`, "input.request.body.x == 1"
	for _, c := range []struct {
		was  string
		of   policy.RequestFacts
		now  string
		want string // allow, deny, uncertain, or what is not known
	}{
		{state, policy.RequestFacts{BodyState: policy.BodyUnparsed, Size: 5}, state, "allow"},
		{state, policy.RequestFacts{BodyState: policy.BodyUnparsed, Size: 5}, state + "\n\t" + body, "request.body_state not recorded"},
		{state, policy.RequestFacts{BodyState: policy.BodyNone}, state, "allow"},
		{state + "\n\t" + body, policy.RequestFacts{BodyState: policy.BodyTruncated, Size: -1}, body, "uncertain"},
		{state + "\n\t" + body, policy.RequestFacts{BodyState: policy.BodyParsed, Body: map[string]any{"x": 1}}, body, "request.body.x redacted"},
		{state + "\n\t" + body, policy.RequestFacts{BodyState: policy.BodyParsed, Body: map[string]any{"x": 1}}, state, "request.body_state not recorded"},
		{state + "\n\t" + body, policy.RequestFacts{BodyState: policy.BodyNone}, body, "deny"},
		{body, policy.RequestFacts{BodyState: policy.BodyNone}, body, "request.body.x not recorded"},
		{"input.request.size < 9", policy.RequestFacts{Size: -1, BodyState: policy.BodyNone}, "input.request.size < 9", "uncertain"},
		{"input.request.size < 9", policy.RequestFacts{Size: 5}, "input.request.size < 9", "allow"},
	} {
		d := load(c.was).Decide(t.Context(), &policy.Question{Phase: policy.Request, Request: &c.of})
		got, gap := load(c.now).Again(t.Context(), policy.Request, keptOf(t, d), time.Now())
		say := "deny"
		switch {
		case gap != nil:
			say = gap.Path + " " + gap.Why
		case got.Granted():
			say = "allow"
		case len(got.Deny) > 0:
			say = got.Deny[0].Code
		}
		if say != c.want {
			t.Errorf("%s of %s: %s, want %s", c.now, d.Input, say, c.want)
		}
	}
}
