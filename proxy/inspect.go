package proxy

import "net/http"

// Bodies that policy reads are in memory as bytes and as values. What all of them
// may come to is bounded, and what those of one sandbox may is a part of that.
const (
	inspectCost  = 8 // bytes of memory for a byte of a body, about
	inspectShare = 4 // a sandbox may have a fourth
)

// inspects charges the body of an exchange to what may be inspected at once, until
// the exchange ends (hostile 148).
func (x *exchange) inspects(size int64) *Refusal {
	if size < 0 || size > inspectLimit {
		size = inspectLimit
	}
	size *= inspectCost
	most := x.srv.cfg.MaxInspected
	mine, all := x.gate.inspected.Add(size), x.srv.inspected.Add(size)
	x.inspected = size
	if mine > most/inspectShare || all > most {
		return refuse(http.StatusServiceUnavailable, "too_much_to_inspect", "more bodies are being looked at than there is memory for").closing()
	}
	return nil
}

// inspectedAll gives back what the exchange was charged.
func (x *exchange) inspectedAll() {
	x.gate.inspected.Add(-x.inspected)
	x.srv.inspected.Add(-x.inspected)
	x.inspected = 0
}
