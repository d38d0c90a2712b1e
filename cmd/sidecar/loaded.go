package sidecar

import (
	"sallyport/audit"
)

// loaded records the policies of a plan that are otherwise than in the one before;
// nil is none.
func (s *sidecar) loaded(p, old *plan) error {
	for _, n := range p.policyNames() {
		pol := p.policies[n]
		if f := p.feeds[n]; f != nil && f.failed != nil {
			d := f.detail(nil, "")
			d["event"], d["code"], d["error"] = "kept", string(untaken(f.failed).Code), s.keys.RedactString(f.failed.Error())
			if err := s.records.Append(&audit.Event{Name: audit.PolicyRefused, Lifecycle: &audit.Lifecycle{Detail: d}}); err != nil {
				return err
			}
		}
		if pol == nil {
			continue
		}
		d := map[string]string{"policy": n, "digest": pol.Digest(), "revision": pol.Revision()}
		if old != nil && old.policies[n] != nil {
			if was := old.policies[n]; was.Digest() == pol.Digest() && was.Revision() == pol.Revision() {
				continue
			}
			d["was"] = old.policies[n].Digest()
		}
		for _, c := range p.file.Policies {
			if c.Name.S == n {
				d["source"] = c.Dir.S
			}
		}
		if f := p.feeds[n]; f != nil {
			d = f.detail(pol, f.sum)
			d["restored"] = "true"
		}
		if err := s.records.Append(&audit.Event{Name: audit.PolicyLoaded, Lifecycle: &audit.Lifecycle{Detail: d}}); err != nil {
			return err
		}
	}
	return nil
}
