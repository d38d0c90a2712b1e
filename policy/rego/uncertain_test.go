package rego

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
	"sallyport/sandbox"
)

// Whatever a policy does with its input: what it decides about a request of which
// something is not known is what it decides whatever that is, edits included, or it
// is refused as uncertain (hostile 81).
func TestUncertainty(t *testing.T) {
	policies := 60
	if os.Getenv("SALLYPORT_SOAK") != "" {
		policies = 20_000
	}
	boxes := []*sandbox.Sandbox{{ID: "1", Name: "a", Labels: map[string]string{"team": "web"}, Props: map[string]any{"n": 1}}, {ID: "2", Name: "b"}}
	asked, unsure, sure := 0, 0, 0
	for i := range policies {
		w := &writer{Rand: rand.New(rand.NewPCG(9, uint64(i)))}
		files := w.policies()
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, files), Deadline: time.Minute})
		if err != nil {
			continue
		}
		x := p.phases[policy.Request]
		for range 20 {
			q := randomQuestion(w.Rand, boxes)
			q.Request.BodyState, q.Request.Size, q.Request.Views = policy.BodyTruncated, -1, policy.Views{}
			budget := func() *budget { return &budget{left: 100_000, end: time.Now().Add(time.Minute), ctx: t.Context()} }
			asked++
			b := budget()
			got, err := p.eval(t.Context(), x, build(x.wants, q), b, touching(x, uncertain(q), b))
			if err != nil {
				if errors.Is(err, errUncertain) {
					unsure++
				}
				continue
			}
			sure++
			for range 6 { // what it may be
				known := *q.Request
				known.BodyState, known.Size = policy.BodyParsed, int64(w.IntN(3))
				randomBody(w.Rand, &known)
				full := *q
				full.Request = &known
				in := build(x.wants, &full)
				keepState(in, policy.BodyTruncated)
				want, err := p.eval(t.Context(), x, in, budget(), nil)
				if err != nil || got.Value.Compare(want.Value) != 0 {
					t.Fatalf("%s\n%s\nwithout a body %v\nwith %+v %v %v", files["p.rego"], files["lib/l.rego"], got, known, want, err)
				}
			}
		}
	}
	t.Logf("%d were asked, %d refused as uncertain", asked, unsure)
	if unsure < asked/20 || sure < asked/20 {
		t.Errorf("of %d questions %d are uncertain and %d are not", asked, unsure, sure)
	}
}

// keepState leaves the state of the body as it is known.
func keepState(in ast.Value, state policy.BodyState) {
	r := in.(ast.Object).Get(str("request"))
	if r == nil {
		return
	}
	if o := r.Value.(ast.Object); o.Get(str("body_state")) != nil {
		o.Insert(str("body_state"), str(string(state)))
	}
}
