package sidecar

import (
	"sync"
	"time"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/proxy"
)

// Who is turned away at the control API is recorded once in a while for each
// address or user and reason, then counted.
const (
	denialWindow = 5 * time.Second
	denialKinds  = 256
)

// denials record who was turned away. They are safe for concurrent use.
type denials struct {
	to proxy.Recorder

	mu    sync.Mutex
	seen  map[denial]int
	over  int
	timer *time.Timer // running while something is seen
}

type denial struct {
	from string
	uid  uint32
	code string
}

func newDenials(to proxy.Recorder) *denials {
	return &denials{to: to, seen: map[denial]int{}}
}

// refused records the first of a kind, and counts the rest.
func (d *denials) refused(a admin.Actor, code string) {
	k := denial{a.From, a.UID, code}
	d.mu.Lock()
	n, known := d.seen[k]
	switch {
	case known:
		d.seen[k] = n + 1
	case len(d.seen) >= denialKinds:
		d.over++
	default:
		d.seen[k] = 0
	}
	first := !known && len(d.seen) <= denialKinds && d.over == 0
	if d.timer == nil {
		d.timer = time.AfterFunc(denialWindow, d.flush)
	}
	d.mu.Unlock()
	if first {
		detail := actorDetail(a)
		detail["reason"] = code
		if a.Remote != "" {
			delete(detail, "actor.name") // nobody was shown
		}
		_ = d.to.Append(&audit.Event{Name: audit.ControlRefused, Lifecycle: &audit.Lifecycle{Detail: detail}})
	}
}

// flush records what was counted, and begins anew.
func (d *denials) flush() {
	d.mu.Lock()
	seen, over := d.seen, d.over
	d.seen, d.over, d.timer = map[denial]int{}, 0, nil
	d.mu.Unlock()
	for k, n := range seen {
		if n == 0 {
			continue
		}
		detail := map[string]string{"of": string(audit.ControlRefused), "reason": k.code}
		if k.from != "" {
			detail["actor.address"] = k.from
		}
		_ = d.to.Append(&audit.Event{Name: audit.DenySummary, Lifecycle: &audit.Lifecycle{Count: n, Detail: detail}})
	}
	if over > 0 {
		_ = d.to.Append(&audit.Event{Name: audit.DenySummary, Lifecycle: &audit.Lifecycle{Count: over, Detail: map[string]string{"of": string(audit.ControlRefused), "why": "more kinds than are kept apart"}}})
	}
}
