package credentials

import "slices"

// patterns is an Aho–Corasick automaton over all forms of some secrets: one step
// a byte, whatever their number. It is immutable.
type patterns struct {
	next  [][256]int32    // goto and failure in one
	depth []int32         // length of the longest prefix of a pattern that a state stands for
	found []*pattern      // the longest pattern that ends in a state
	start [256]bool       // bytes with which a pattern begins
	pairs [1 << 10]uint64 // and the two bytes, as a set of bits: what is none of them is passed over
}

// begins reports whether two bytes can be the beginning of a pattern.
func (a *patterns) begins(x, y byte) bool { return a.pairs[(uint(x)<<8|uint(y))>>6]>>(y&63)&1 != 0 }

// skip returns where at or after i a pattern can begin, len(p) if nowhere.
func (a *patterns) skip(p []byte, i int) int {
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

func compile(ps []pattern) *patterns {
	a := &patterns{next: make([][256]int32, 1), depth: []int32{0}, found: []*pattern{nil}}
	ps = slices.Clone(ps)
	for i := range ps {
		p := &ps[i]
		at := int32(0)
		for _, c := range p.text {
			n := a.next[at][c]
			if n == 0 {
				n = int32(len(a.next))
				a.next = append(a.next, [256]int32{})
				a.depth = append(a.depth, a.depth[at]+1)
				a.found = append(a.found, nil)
				a.next[at][c] = n
			}
			at = n
		}
		a.found[at] = p
		a.start[p.text[0]] = true
		x, y := uint(p.text[0]), uint(p.text[1]) // none is shorter than minSecret
		a.pairs[(x<<8|y)>>6] |= 1 << (y & 63)
	}
	fail := make([]int32, len(a.next))
	var queue []int32
	for c := range 256 {
		if n := a.next[0][c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range 256 {
			n, f := a.next[at][c], a.next[fail[at]][c]
			if n == 0 {
				a.next[at][c] = f
				continue
			}
			fail[n] = f
			if a.found[n] == nil {
				a.found[n] = a.found[f]
			}
			queue = append(queue, n)
		}
	}
	return a
}

// A scan is the state of one search through a stream.
type scan struct {
	a    *patterns
	at   int32
	held []byte // the end of what came, which may be the beginning of a secret
	hits int
}

// feed returns what is known to be no secret, with markers for what was one.
// Held back is only what is a prefix of one.
func (s *scan) feed(dst, p []byte) []byte {
	for i := 0; i < len(p); i++ {
		if s.at == 0 {
			j := s.a.skip(p, i)
			dst = append(dst, p[i:j]...)
			if i = j; i == len(p) {
				break
			}
		}
		s.held = append(s.held, p[i])
		s.at = s.a.next[s.at][p[i]]
		if f := s.a.found[s.at]; f != nil {
			dst = append(dst, s.held[:len(s.held)-len(f.text)]...)
			dst = append(dst, marker(f.name)...)
			s.held, s.at = s.held[:0], 0
			s.hits++
			continue
		}
		if d := int(s.a.depth[s.at]); len(s.held) > d {
			dst = append(dst, s.held[:len(s.held)-d]...)
			s.held = append(s.held[:0], s.held[len(s.held)-d:]...)
		}
	}
	return dst
}

// flush returns what is held at the end of the stream.
func (s *scan) flush(dst []byte) []byte {
	dst = append(dst, s.held...)
	s.held, s.at = s.held[:0], 0
	return dst
}

// replace searches a text that is whole. Without a find it is returned as it is.
func (a *patterns) replace(b []byte) ([]byte, int) {
	if a.skip(b, 0) == len(b) {
		return b, 0
	}
	s := scan{a: a}
	out := s.flush(s.feed(make([]byte, 0, len(b)), b))
	return out, s.hits
}
