package leaf

import "container/list"

// A recent keeps the values that were used last, at most size of them. It is not
// safe for concurrent use: its owner locks.
type recent[K comparable, V any] struct {
	size  int
	order *list.List // most recently used first
	at    map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: size, order: list.New(), at: map[K]*list.Element{}}
}

// get returns a value and counts as a use of it.
func (r *recent[K, V]) get(k K) (V, bool) {
	e, ok := r.at[k]
	if !ok {
		var none V
		return none, false
	}
	r.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// put sets a value; the one that was not used for longest makes room.
func (r *recent[K, V]) put(k K, v V) {
	r.drop(k)
	r.at[k] = r.order.PushFront(entry[K, V]{k, v})
	for r.order.Len() > r.size {
		r.drop(r.order.Back().Value.(entry[K, V]).key)
	}
}

func (r *recent[K, V]) drop(k K) {
	if e, ok := r.at[k]; ok {
		r.order.Remove(e)
		delete(r.at, k)
	}
}
