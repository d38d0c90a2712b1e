package credentials

import "bytes"

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
	n := s.goes(s.late, len(s.held))
	dst = append(dst, s.late[:n]...)
	s.late = append(s.late[:0], s.late[n:]...)
	return dst
}

// goes is how much of what is clean goes on, where so much more is held.
func (s *scan) goes(clean []byte, held int) int {
	n := max(len(clean)-max(s.a.most-1-held, 0), 0)
	if bytes.IndexByte(clean[n:], '\n') < 0 {
		return n
	}
	return bytes.LastIndexByte(clean, '\n') + 1
}

// split parts what was searched up to a state: what goes on, what is clean, and what
// may be the beginning of a secret.
func (s *scan) split(p []byte, at int32) (goes, clean int) {
	clean = len(p) - int(s.a.states[at].depth)
	return s.goes(p[:clean], len(p)-clean), clean
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
		s.at = s.a.step(s.at, p[i])
		if f := s.a.ends(s.at); f != nil {
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
		if d := int(s.a.states[s.at].depth); len(s.held) > d {
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
