package policy

import "time"

// A Quota bounds how much of a sandbox's traffic passes that has it: requests in
// phase egress, connections in phase connect. What passed is counted outside of
// policy, for each sandbox, by Policy and Name.
type Quota struct {
	Name    string // written down in a rule; "" is one for all that have no name
	Policy  string // name of the policy
	Version string // its digest: another may have changed the numbers

	Requests    int64         // that pass in Per on the average; 0 is no bound
	Per         time.Duration // 1 s to 24 h; 0 without Requests
	Burst       int64         // that pass at once; 0 without Requests
	Concurrency int64         // under way at the same time; 0 is no bound
}

// Add puts a quota to others; of those that count alike the smallest is left.
func (q Quota) Add(to []Quota) []Quota {
	for i := range to {
		o := &to[i]
		if o.Name != q.Name || o.Policy != q.Policy || o.Per != q.Per && o.Per != 0 && q.Per != 0 {
			continue
		}
		o.Requests, o.Burst, o.Concurrency = least(o.Requests, q.Requests), least(o.Burst, q.Burst), least(o.Concurrency, q.Concurrency)
		o.Per = max(o.Per, q.Per)
		return to
	}
	return append(to, q)
}
