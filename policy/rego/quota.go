package rego

import (
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policy"
)

// most is the highest number of a quota, and the longest name.
const (
	mostRequests = 1_000_000_000
	mostPer      = 24 * time.Hour
	maxName      = 64
)

// quota reads how many may pass out of an element of limits.
func (f *fieldsReader) quota(d *policy.Decision) {
	if f.is {
		f.fail("%q is no object of limits", f.bare)
		return
	}
	q := policy.Quota{Name: f.text("name", false), Policy: d.Policy, Version: d.Digest, Requests: f.number("requests"), Burst: f.number("burst"), Concurrency: f.number("concurrency")}
	switch {
	case q.Requests > mostRequests || q.Burst > mostRequests || q.Concurrency > mostRequests:
		f.fail("more than %d is no limit", mostRequests)
	case len(q.Name) > maxName:
		f.fail("the name is longer than %d characters", maxName)
	case q.Requests > 0:
		q.Per = f.period("per")
		if q.Burst == 0 {
			q.Burst = q.Requests
		}
	case f.get("per") != nil || q.Burst > 0:
		f.fail("requests is missing: per and burst say of it in which time and how many at once")
	case q.Concurrency == 0:
		if q.Name != "" {
			f.fail("name is that of a counter, and neither requests nor concurrency is counted")
		}
		return
	}
	if f.err == nil {
		d.Quotas = q.Add(d.Quotas)
	}
}

// period reads a time: a number of seconds, or a text such as "1m".
func (f *fieldsReader) period(k string) time.Duration {
	var per time.Duration
	t := f.get(k)
	if t == nil {
		f.fail(`%s is missing: write how long it takes to let so many pass, such as "1m"`, k)
		return 0
	}
	if s, ok := t.Value.(ast.String); ok {
		d, err := time.ParseDuration(string(s))
		if err != nil {
			f.fail(`%s is no time such as "1m", "10s" or 60: %v`, k, t)
		}
		per = d
	} else if n := f.number(k); n <= int64(mostPer/time.Second) {
		per = time.Duration(n) * time.Second
	} else {
		per = mostPer + 1
	}
	if f.err == nil && (per < time.Second || per > mostPer) {
		f.fail("%s is not between 1s and 24h: %v", k, t)
	}
	return per
}

// counted are the rules of limits whose names are not written down: a sandbox that
// chose one would have a counter of its own each time.
func (p *Policy) counted(x *phase) (errs ast.Errors) {
	for _, r := range x.author {
		if r.Head.Name.String() != "limits" || r.Head.Key == nil {
			continue
		}
		bound := bindingsOf(r)
		key := bound.of(r.Head.Key)
		o, ok := key.Value.(ast.Object)
		if !ok {
			continue // decoding knows the names
		}
		n := o.Get(ast.StringTerm("name"))
		if n == nil {
			continue
		}
		if s, ok := bound.of(n).Value.(ast.String); ok {
			x.names = append(x.names, string(s))
			continue
		}
		errs = append(errs, ast.NewError(ast.TypeErr, r.Location, "limits: name must be a constant text: it is that of a counter, which nobody outside of the policy may choose"))
	}
	return errs
}

// of is what a variable stands for, or the term itself.
func (b bindings) of(t *ast.Term) *ast.Term {
	for range 8 {
		v, ok := t.Value.(ast.Var)
		if !ok {
			return t
		}
		to, ok := b[v]
		if !ok {
			return t
		}
		t = to
	}
	return t
}

// unnamed reports a quota with a name that no rule has written down.
func (x *phase) unnamed(qs []policy.Quota) (string, bool) {
	for _, q := range qs {
		if q.Name != "" && !slices.Contains(x.names, q.Name) {
			return q.Name, true
		}
	}
	return "", false
}
