package proxy

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// maxPings is how many pings of one side wait for their answer.
const maxPings = 32

// pings hold back what the pings of a WebSocket carry, and give it back with their
// answers: so nothing gets by in them that nobody judged. They are safe for
// concurrent use.
type pings struct {
	mu   sync.Mutex
	last uint64
	wait [2][]ping // by direction
}

type ping struct {
	id      uint64
	payload []byte
}

func side(toOrigin bool) int {
	if toOrigin {
		return 0
	}
	return 1
}

// sent returns what a ping carries instead.
func (p *pings) sent(toOrigin bool, payload []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.wait[side(toOrigin)]
	if len(*w) == maxPings {
		*w = append((*w)[:0], (*w)[1:]...)
	}
	p.last++
	*w = append(*w, ping{p.last, bytes.Clone(payload)})
	return binary.BigEndian.AppendUint64(nil, p.last)
}

// answered returns what a ping in a direction carried, of which this is the
// answer; those before it are answered by it too: RFC 6455, 5.5.3.
func (p *pings) answered(toOrigin bool, payload []byte) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.wait[side(toOrigin)]
	if len(payload) != 8 {
		return nil, false
	}
	id := binary.BigEndian.Uint64(payload)
	for i, q := range *w {
		if q.id == id {
			*w = append((*w)[:0], (*w)[i+1:]...)
			return q.payload, true
		}
	}
	return nil, false
}
