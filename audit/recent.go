package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// A Story is a decision and what came of it, as they are in the log.
type Story struct {
	Decision Entry
	Then     []Entry // its outcome, a tunnel's opening and end, more of the same
}

// A Recent keeps the last decisions of a log, as they are in it. It is safe for
// concurrent use.
type Recent struct {
	most, room int

	mu    sync.Mutex
	order []*kept
	by    map[string]*kept
	bytes int
}

type kept struct {
	id   string
	line []byte
	then [][]byte
}

// maxThen bounds what is kept of one decision's outcomes.
const maxThen = 4

// NewRecent keeps at most so many decisions, and so many bytes of records.
func NewRecent(decisions, bytes int) *Recent {
	return &Recent{most: decisions, room: bytes, by: map[string]*kept{}}
}

// Wrote takes lines of the log: it is what Options.Written takes.
func (r *Recent) Wrote(lines []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(lines) {
		head := line[:min(len(line), 512)]
		switch Name(member(head, `"event.name":"`)) {
		case RequestDecision, TunnelDecision, MessageDecision, DNSDecision:
			r.decided(member(head, `"event.id":"`), bytes.TrimSuffix(line, []byte("\n")))
		case RequestComplete, RequestLost, TunnelOpen, TunnelClose, DNSQuery, DenySummary:
			if k := r.by[member(head, `"event.of":"`)]; k != nil {
				line = bytes.Clone(bytes.TrimSuffix(line, []byte("\n")))
				k.then = append(k.then, line)
				r.bytes += len(line)
				if len(k.then) > maxThen {
					r.bytes -= len(k.then[0])
					k.then = slices.Delete(slices.Clone(k.then), 0, 1) // who reads it has it
				}
			}
		}
	}
	for len(r.order) > r.most || r.bytes > r.room && len(r.order) > 0 {
		k := r.order[0]
		r.order[0] = nil
		r.order = r.order[1:]
		delete(r.by, k.id)
		r.bytes -= k.size()
	}
}

func (r *Recent) decided(id string, line []byte) {
	if id == "" {
		return
	}
	k := r.by[id]
	if k == nil {
		k = &kept{id: id}
		r.by[id] = k
		r.order = append(r.order, k)
	}
	r.bytes -= k.size()
	k.line, k.then = bytes.Clone(line), nil
	r.bytes += k.size()
}

func (k *kept) size() int {
	n := len(k.line)
	for _, l := range k.then {
		n += len(l)
	}
	return n
}

// member is the text behind a key, which stands once in the head of a record and
// needs no escapes.
func member(head []byte, key string) string {
	_, rest, ok := bytes.Cut(head, []byte(key))
	if !ok {
		return ""
	}
	text, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(text)
}

// List returns the newest decisions that o chooses, the newest first, at most so
// many. Follow and Damaged have no meaning here.
func (r *Recent) List(o TailOptions, most int) []Story {
	r.mu.Lock()
	all := make([]kept, len(r.order))
	for i, k := range r.order {
		all[i] = *k
	}
	r.mu.Unlock()
	var out []Story
	for _, k := range slices.Backward(all) {
		if len(out) == most {
			break
		}
		s, ok := k.story()
		if ok && o.chooses(s.Decision) {
			out = append(out, s)
		}
	}
	return out
}

// Get returns the decision with an id, if it is kept.
func (r *Recent) Get(id string) (Story, bool) {
	r.mu.Lock()
	k := r.by[id]
	if k == nil {
		r.mu.Unlock()
		return Story{}, false
	}
	c := *k
	r.mu.Unlock()
	return c.story()
}

func (k *kept) story() (s Story, ok bool) {
	if s.Decision, ok = parsed(k.line); !ok {
		return s, false
	}
	for _, l := range k.then {
		if e, ok := parsed(l); ok {
			s.Then = append(s.Then, e)
		}
	}
	return s, true
}

// parsed is a line of a log as an entry.
func parsed(line []byte) (Entry, bool) {
	e := Entry{Line: line}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	return e, d.Decode(&e.Fields) == nil
}
