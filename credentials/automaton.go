package credentials

import (
	"bytes"
	"slices"
)

// patterns is an Aho–Corasick automaton over all forms of some secrets: one step
// a byte, whatever their number. It is immutable.
type patterns struct {
	class [256]uint8      // bytes that no pattern has are all of class 0
	width int             // classes
	next  []int32         // goto and failure in one: width to a state
	depth []int32         // length of the longest prefix of a pattern that a state stands for
	found []*pattern      // the longest pattern that ends in a state
	start [256]bool       // bytes with which a pattern begins
	pairs [1 << 10]uint64 // and the two bytes, as a set of bits: what is none of them is passed over
	most  int             // length of the longest pattern
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
	a := &patterns{depth: []int32{0}, found: []*pattern{nil}, width: 1}
	ps = slices.Clone(ps)
	for i := range ps {
		a.most = max(a.most, len(ps[i].text))
		for _, c := range ps[i].text {
			if a.class[c] == 0 {
				a.class[c] = uint8(a.width) // fewer than 256: control bytes are in no secret
				a.width++
			}
		}
	}
	state := func() int32 {
		a.next = append(a.next, make([]int32, a.width)...)
		return int32(len(a.next)/a.width - 1)
	}
	state()
	for i := range ps {
		p := &ps[i]
		at := int32(0)
		for _, c := range p.text {
			k := int(at)*a.width + int(a.class[c])
			n := a.next[k]
			if n == 0 {
				n = state()
				a.depth = append(a.depth, a.depth[at]+1)
				a.found = append(a.found, nil)
				a.next[k] = n
			}
			at = n
		}
		a.found[at] = p
		a.start[p.text[0]] = true
		x, y := uint(p.text[0]), uint(p.text[1]) // none is shorter than minSecret
		a.pairs[(x<<8|y)>>6] |= 1 << (y & 63)
	}
	fail := make([]int32, len(a.depth))
	var queue []int32
	for c := range a.width {
		if n := a.next[c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range a.width {
			k := int(at)*a.width + c
			n, f := a.next[k], a.next[int(fail[at])*a.width+c]
			if n == 0 {
				a.next[k] = f
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
	// even holds back, of each line, as many bytes as the longest secret has, whether
	// they look like its beginning or not: otherwise what is held would tell whoever
	// can have text of theirs echoed whether it is. A line's end lets all go, since
	// none is in a secret.
	even  bool
	late  []byte // clean, and held back for that
	same  bool   // what is found is masked, byte for byte
	drops int    // bytes of base64 behind a secret that may carry bits of its end
	pads  int    // and padding behind those
}

// feed returns what is known to be no secret, with markers for what was one.
func (s *scan) feed(dst, p []byte) []byte {
	if !s.even {
		return s.search(dst, p)
	}
	s.late = s.search(s.late, p)
	n := max(len(s.late)-max(s.a.most-1-len(s.held), 0), bytes.LastIndexByte(s.late, '\n')+1)
	dst = append(dst, s.late[:n]...)
	s.late = append(s.late[:0], s.late[n:]...)
	return dst
}

// search is feed, but holds back no more than what is a prefix of a secret.
func (s *scan) search(dst, p []byte) []byte {
	for i := 0; i < len(p); i++ {
		if s.at == 0 {
			j := s.a.skip(p, i)
			dst = s.emit(dst, p[i:j])
			if i = j; i == len(p) {
				break
			}
		}
		s.held = append(s.held, p[i])
		s.at = s.a.next[int(s.at)*s.a.width+int(s.a.class[p[i]])]
		if f := s.a.found[s.at]; f != nil {
			dst = s.emit(dst, s.held[:len(s.held)-len(f.text)])
			s.held, s.at = s.held[:0], 0
			s.hits++
			s.drops, s.pads = f.drops, f.pads
			if s.same {
				dst, s.pads = append(dst, bytes.Repeat(mask, len(f.text))...), 0
			} else {
				dst = append(dst, marker(f.name)...)
			}
			continue
		}
		if d := int(s.a.depth[s.at]); len(s.held) > d {
			dst = s.emit(dst, s.held[:len(s.held)-d])
			s.held = append(s.held[:0], s.held[len(s.held)-d:]...)
		}
	}
	return dst
}

// emit passes on what is no secret, but for what stands right behind one in
// base64 and belongs to it.
func (s *scan) emit(dst, b []byte) []byte {
	for len(b) > 0 && s.drops > 0 {
		s.drops--
		if c := b[0]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_' {
			b = b[1:]
			if s.same {
				dst = append(dst, mask...)
			}
		}
	}
	for len(b) > 0 && s.pads > 0 {
		if b[0] != '=' {
			s.pads = 0
			break
		}
		s.pads--
		b = b[1:]
	}
	return append(dst, b...)
}

// flush returns what is held at the end of the stream.
func (s *scan) flush(dst []byte) []byte {
	dst = append(dst, s.late...)
	dst = s.emit(dst, s.held)
	s.held, s.late, s.at, s.drops, s.pads = s.held[:0], s.late[:0], 0, 0, 0
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
