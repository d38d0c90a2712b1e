package credentials

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// patterns is an Aho–Corasick automaton over all forms of some secrets. What it
// costs grows with the length of the forms and hardly with their number: a state's
// first child is the state behind it, and only where forms part are there others.
// It is immutable.
type patterns struct {
	ps     []pattern
	states []state
	root   [256]int32      // children of the first state
	forks  map[fork]int32  // children of others, beyond the first
	most   int             // length of the longest pattern
	pairs  [1 << 10]uint64 // the first two bytes of patterns, as a set of bits
	start  [256]bool       // and the first
	window int             // bytes that are looked at together
	jumps  []uint8         // by how much the bytes at the end of a window let it move on
	drop   uint            // bits of a hash that do not count there
}

// A state stands for the longest prefix of a pattern that the text ends with.
type state struct {
	fail   int32  // the longest one that is shorter
	depth  int32  // its length
	found  int32  // the longest pattern that ends here, and one; 0 is none
	child  uint16 // the byte that leads to the state behind it, and one; 0 is none
	forked bool   // others lead elsewhere
}

type fork struct {
	at int32
	c  byte
}

// A window is no longer than the shortest pattern. What its last bytes are says how
// far it can be moved without passing the beginning of one (Wu and Manber).
const (
	maxWindow = 32
	block     = 3
)

// hash is that of the last bytes of a window, of which it is given four.
func (a *patterns) hash(b []byte) uint32 {
	return (binary.LittleEndian.Uint32(b) >> 8) * 0x9e3779b1 >> a.drop
}

// begins reports whether two bytes can be the beginning of a pattern.
func (a *patterns) begins(x, y byte) bool { return a.pairs[(uint(x)<<8|uint(y))>>6]>>(y&63)&1 != 0 }

// skip returns where at or after i a pattern can begin, len(p) if nowhere.
func (a *patterns) skip(p []byte, i int) int {
	farthest := a.window - block + 1
	for end := i + a.window; end <= len(p); {
		switch n := int(a.jumps[a.hash(p[end-4:end])]); {
		case n == farthest: // nearly always: a branch that is foreseen waits for no memory
			end += farthest
		case n > 0:
			end += n
		case a.begins(p[end-a.window], p[end-a.window+1]):
			return end - a.window
		default:
			end++
		}
		i = end - a.window
	}
	for ; i+1 < len(p); i++ {
		if a.begins(p[i], p[i+1]) {
			return i
		}
	}
	if i < len(p) && !a.start[p[i]] {
		i++
	}
	return i
}

// step returns the state behind one and a byte.
func (a *patterns) step(at int32, c byte) int32 {
	for at != 0 {
		s := &a.states[at]
		if s.child == uint16(c)+1 {
			return at + 1
		}
		if s.forked {
			if n, ok := a.forks[fork{at, c}]; ok {
				return n
			}
		}
		at = s.fail
	}
	return a.root[c]
}

// ends returns the longest pattern that ends in a state, or nil.
func (a *patterns) ends(at int32) *pattern {
	if f := a.states[at].found; f != 0 {
		return &a.ps[f-1]
	}
	return nil
}

func compile(ps []pattern) *patterns {
	a := &patterns{ps: slices.Clone(ps), states: make([]state, 1), forks: map[fork]int32{}}
	n := 1
	for i := range a.ps {
		n += len(a.ps[i].text)
	}
	a.states = make([]state, 1, n)
	for i := range a.ps {
		a.insert(i)
	}
	a.states = slices.Clip(slices.Clone(a.states))
	a.link()
	a.fill()
	return a
}

func (a *patterns) insert(i int) {
	t := a.ps[i].text
	a.most = max(a.most, len(t))
	at := int32(0)
	for _, c := range t {
		n, ok := a.child(at, c)
		if !ok {
			n = int32(len(a.states))
			a.states = append(a.states, state{depth: a.states[at].depth + 1})
			switch s := &a.states[at]; {
			case at == 0:
				a.root[c] = n
			case n == at+1:
				s.child = uint16(c) + 1
			default:
				s.forked = true
				a.forks[fork{at, c}] = n
			}
		}
		at = n
	}
	a.states[at].found = int32(i) + 1
	a.start[t[0]] = true
	x, y := uint(t[0]), uint(t[1])
	a.pairs[(x<<8|y)>>6] |= 1 << (y & 63)
}

// child is step without a way back.
func (a *patterns) child(at int32, c byte) (int32, bool) {
	if at == 0 {
		return a.root[c], a.root[c] != 0
	}
	if a.states[at].child == uint16(c)+1 {
		return at + 1, true
	}
	n, ok := a.forks[fork{at, c}]
	return n, ok
}

// link gives each state its way back, the shorter ones first.
func (a *patterns) link() {
	type edge struct {
		from, to int32
		c        byte
	}
	var now, then []edge
	forked := map[int32][]edge{}
	for f, to := range a.forks {
		forked[f.at] = append(forked[f.at], edge{f.at, to, f.c})
	}
	below := func(at int32) {
		if s := a.states[at]; s.child != 0 {
			then = append(then, edge{at, at + 1, byte(s.child - 1)})
		}
		then = append(then, forked[at]...)
	}
	for _, n := range a.root {
		if n != 0 {
			below(n)
		}
	}
	for len(then) > 0 {
		now, then = then, now[:0]
		for _, e := range now {
			f := a.step(a.states[e.from].fail, e.c)
			s := &a.states[e.to]
			s.fail = f
			if s.found == 0 {
				s.found = a.states[f].found
			}
			below(e.to)
		}
	}
}

// fill says how far a window can be moved.
func (a *patterns) fill() {
	a.window = maxWindow
	for i := range a.ps {
		a.window = min(a.window, len(a.ps[i].text))
	}
	farthest := a.window - block + 1
	size := min(max(bits.Len(uint(len(a.ps)*farthest*16)), 10), 16)
	a.drop = uint(32 - size)
	a.jumps = make([]uint8, 1<<size)
	for i := range a.jumps {
		a.jumps[i] = uint8(farthest)
	}
	var last [block + 1]byte
	for i := range a.ps {
		for at := range farthest {
			copy(last[1:], a.ps[i].text[at:at+block])
			h := a.hash(last[:])
			a.jumps[h] = min(a.jumps[h], uint8(a.window-block-at))
		}
	}
}
