package proxy

import (
	"fmt"
	"sync"
	"time"

	"sallyport/audit"
)

// What happens often is recorded once, then counted: the first of a kind at
// once, the rest together when the window ends.
const (
	floodWindow = 5 * time.Second
	floodKinds  = 4096 // of packets, of names, and of connections each
)

// floods coalesces the events of one sandbox that cost the sandbox nothing to cause.
type floods struct {
	gate *Gate
	mu   sync.Mutex
	seen map[string]*flood
	kept map[audit.Name]int // kinds that are kept apart, by what they are of
	over map[audit.Name]int // of kinds beyond those
	stop chan struct{}
	done chan struct{}
}

type flood struct {
	ev          *audit.Event
	n           int
	first, last time.Time
}

func newFloods(g *Gate) *floods {
	f := &floods{gate: g, seen: map[string]*flood{}, kept: map[audit.Name]int{}, over: map[audit.Name]int{}, stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f
}

func (f *floods) run() {
	defer close(f.done)
	t := time.NewTicker(floodWindow)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f.flush()
		case <-f.stop:
			f.flush()
			return
		}
	}
}

func (f *floods) close() {
	close(f.stop)
	<-f.done
}

// flood records an event, or counts it when its like was recorded just now.
func (g *Gate) flood(ev *audit.Event) {
	f := g.floods
	now := time.Now()
	k := floodKey(ev)
	f.mu.Lock()
	if x := f.seen[k]; x != nil {
		x.n++
		x.last = now
		f.mu.Unlock()
		return
	}
	if f.kept[ev.Name] >= floodKinds {
		f.over[ev.Name]++
		f.mu.Unlock()
		return
	}
	f.kept[ev.Name]++
	f.seen[k] = &flood{ev: ev, first: now, last: now}
	f.mu.Unlock()
	g.append(ev)
}

func (g *Gate) append(ev *audit.Event) {
	if err := g.srv.cfg.Audit.Append(ev); err != nil {
		g.srv.cfg.Log.Error().Err(err).Str("event", string(ev.Name)).Msg("an event could not be recorded")
	}
}

// flush records what was counted and begins a new window.
func (f *floods) flush() {
	f.mu.Lock()
	seen, over := f.seen, f.over
	f.seen, f.kept, f.over = map[string]*flood{}, map[audit.Name]int{}, map[audit.Name]int{}
	f.mu.Unlock()
	for _, x := range seen {
		if x.n == 0 {
			continue
		}
		ev := *x.ev
		ev.ID, ev.Of = "", x.ev.ID
		ev.Name = audit.DenySummary
		ev.Lifecycle = &audit.Lifecycle{Count: x.n, Detail: map[string]string{
			"of": string(x.ev.Name), "first": x.first.UTC().Format(time.RFC3339Nano), "last": x.last.UTC().Format(time.RFC3339Nano)}}
		f.gate.append(&ev)
	}
	for of, n := range over {
		ev := f.gate.event(audit.DenySummary)
		ev.Lifecycle = &audit.Lifecycle{Count: n, Detail: map[string]string{"of": string(of), "why": "more kinds than are kept apart"}}
		f.gate.append(ev)
	}
}

// floodKey is what makes two events the same kind.
func floodKey(ev *audit.Event) string {
	switch {
	case ev.Packet != nil:
		return fmt.Sprint(ev.Name, ev.Packet.Transport, ev.Packet.Dest, ev.Packet.Type)
	case ev.DNS != nil:
		return fmt.Sprint(ev.Name, ev.DNS.Question, " ", ev.DNS.Type, ev.DNS.Rcode)
	}
	if ev.Lifecycle != nil {
		return fmt.Sprint(ev.Name, ev.Lifecycle.Detail["error"])
	}
	k := fmt.Sprint(ev.Name, ev.Connection.Original, ev.Decision.Code)
	if ev.Request != nil {
		k += fmt.Sprint(ev.Request.Host, ev.Request.Port, ev.Request.Protocol)
	}
	return k
}
