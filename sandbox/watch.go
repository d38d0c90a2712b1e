package sandbox

import "sync"

// A watcher is one receiver of events.
type watcher struct {
	ch   chan Event
	once sync.Once
}

// send reports whether the watcher keeps up; one that does not is dropped.
func (w *watcher) send(ev Event) bool {
	select {
	case w.ch <- ev:
		return true
	default:
		w.close()
		return false
	}
}

func (w *watcher) close() { w.once.Do(func() { close(w.ch) }) }

// Subscribe returns the events from now on, in the order of their commits. A
// receiver that falls behind by more than buffer events finds its channel closed:
// it lists again and subscribes again. cancel closes it too.
func (r *Registry) Subscribe(buffer int) (events <-chan Event, cancel func()) {
	w := &watcher{ch: make(chan Event, max(buffer, 1))}
	r.mu.Lock()
	r.watchers[w] = struct{}{}
	r.mu.Unlock()
	return w.ch, func() {
		r.mu.Lock()
		delete(r.watchers, w)
		r.mu.Unlock()
		w.close()
	}
}
