package proxy

import "sallyport/proxy/views"

// What policy reads is in memory as bytes and as values. What all of it may come to is
// bounded. What a sandbox may have is a part of that, and of what others leave: those
// that take all they can leave room for one more (hostile 365).
const (
	inspectCost  = 8 // bytes of memory for a byte of a body, about, before it is known what is in it
	inspectShare = 4 // a sandbox may have a fourth, and a third of what nobody has
)

// inspects charges the body of an exchange to what may be inspected at once, until
// the exchange ends (hostile 148).
func (x *exchange) inspects(size int64, coded bool) *Refusal {
	if size < 0 || size > inspectLimit || coded {
		size = inspectLimit
	}
	if ref := x.gate.hold(size * inspectCost); ref != nil {
		return ref.closing()
	}
	x.inspected = size * inspectCost
	return nil
}

// weighs charges an exchange for what its body came to, when that is more: values take
// memory however short they are.
func (x *exchange) weighs(body any) *Refusal {
	more := views.Weight(body) - x.inspected
	if more <= 0 {
		return nil
	}
	if ref := x.gate.hold(more); ref != nil {
		return ref.closing()
	}
	x.inspected += more
	return nil
}

// A room is of what is held of an answer until it can be searched.
type room struct{ x *exchange }

// Hold charges an exchange for more.
func (r room) Hold(n int64) error {
	if ref := r.x.gate.hold(n); ref != nil {
		return ref
	}
	r.x.held.Add(n)
	return nil
}

// Release gives some of it back.
func (r room) Release(n int64) {
	r.x.held.Add(-n)
	r.x.gate.release(n)
}

// inspectedAll gives back what the exchange was charged.
func (x *exchange) inspectedAll() {
	x.gate.release(x.inspected + x.held.Swap(0))
	x.inspected = 0
}
