package sandbox

import "cmp"

// Limits bound what a sandbox does. What is zero is left to a default.
type Limits struct {
	Connections int // open at once
	Requests    int // under way at once
	Rate        int // begun in a second
	TunnelIdle  int // seconds in which nothing passes in a tunnel
	TunnelLife  int // seconds that a tunnel lasts
}

// Or returns l with what d has where l says nothing.
func (l Limits) Or(d Limits) Limits {
	return Limits{cmp.Or(l.Connections, d.Connections), cmp.Or(l.Requests, d.Requests), cmp.Or(l.Rate, d.Rate),
		cmp.Or(l.TunnelIdle, d.TunnelIdle), cmp.Or(l.TunnelLife, d.TunnelLife)}
}
