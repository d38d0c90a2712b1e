package sidecar

import (
	"context"
	"fmt"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/policy/bundle"
	"sallyport/policy/rego"
)

// detail is a policy that is fetched in the words of a record.
func (f *feed) detail(pol *rego.Policy, sum string) map[string]string {
	d := map[string]string{"policy": f.by.name, "source": f.by.source.String()}
	if sum != "" {
		d["sha256"] = sum
	}
	if pol != nil {
		d["digest"], d["revision"] = pol.Digest(), pol.Revision()
		if n, ok := pol.Sequence(); ok {
			d["sequence"] = fmt.Sprint(n)
		}
	}
	return d
}

// fedTold records what came of a request when it is not what came of the one
// before: that a bundle is not taken or not had, and that what is in force is what
// there is. What is taken is recorded before it counts.
func (s *sidecar) fedTold(ctx context.Context, f *feed, ev bundle.Event, st bundle.Status) {
	if ctx.Err() != nil {
		return
	}
	told, name := string(ev), audit.PolicyRefused
	if st.Err != nil {
		told += string(st.Err.Code) + st.Err.Error()
	} else {
		name, told = audit.PolicyLoaded, "ok"
	}
	s.feeds.mu.Lock()
	known, pol, sum := f.told == told, f.policy, f.sum
	f.told = told
	if st.Err == nil {
		f.restored = false
	}
	s.feeds.mu.Unlock()
	s.meter.Bundle(f.by.name, string(ev))
	if known || ev == bundle.Taken {
		return
	}
	d := f.detail(pol, sum)
	if st.Err == nil {
		d["unchanged"] = "true"
	} else {
		d["event"], d["code"], d["error"] = string(ev), string(st.Err.Code), s.keys.RedactString(st.Err.Error())
		s.log.Error().Str("policy", f.by.name).Str("code", d["code"]).Str("error", d["error"]).Msg("there is no new bundle; what is in force stays")
	}
	_ = s.records.Append(&audit.Event{Name: name, Lifecycle: &audit.Lifecycle{Detail: d}})
}

// tell is a feed in the words of the API.
func (fs *feeds) tell(name string) *admin.Bundle {
	fs.mu.Lock()
	f := fs.by[name]
	var poller *bundle.Poller
	out := &admin.Bundle{}
	if f != nil {
		poller, out.Restored = f.poller, f.restored
		if f.failed != nil {
			out.Code, out.Message = string(bundle.Unkept), f.failed.Error()
		}
	}
	fs.mu.Unlock()
	if poller == nil {
		return nil
	}
	st := poller.Status()
	out.SHA256, out.Size, out.Waits, out.Status = st.Sum, st.Size, st.Waits, st.Status
	out.Activated, out.Downloaded, out.Answered, out.Asked = st.Activated, st.Downloaded, st.Answered, st.Asked
	if st.Err != nil {
		out.Code, out.Message = string(st.Err.Code), st.Err.Error()
		for _, p := range st.Err.Problems {
			out.Errors = append(out.Errors, admin.BundleProblem(p))
		}
	}
	return out
}

// tellFed says what is wrong with policies that are fetched, and reports whether
// each is there.
func (s *sidecar) tellFed(p *plan) (reasons []string, whole bool) {
	whole = true
	for _, c := range p.file.Policies {
		name := c.Name.S
		if p.feeds[name] == nil {
			continue
		}
		b, why := s.feeds.tell(name), ""
		if b != nil && b.Message != "" {
			why = ": " + s.keys.RedactString(b.Message)
		}
		switch pol := p.policies[name]; {
		case pol == nil:
			whole = false
			reasons = append(reasons, fmt.Sprintf("policy %s: there is no good bundle of it yet, and it refuses everything%s", name, why))
		case why != "":
			reasons = append(reasons, fmt.Sprintf("policy %s: %s stays in force%s", name, versionOf(pol), why))
		}
	}
	return reasons, whole
}
