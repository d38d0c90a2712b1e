package credentials

// inPlace is the least room, in bytes, in which a body is searched where its reader
// wants it, beside what was held back of it.
const inPlace = 4 << 10

// passes goes on from a state, and reports false where a pattern ends.
func (a *patterns) passes(at int32, p []byte) (int32, bool) {
	for i := 0; i < len(p); i++ {
		if at == 0 {
			if i = a.skip(p, i); i == len(p) {
				break
			}
		}
		if at = a.step(at, p[i]); a.states[at].found != 0 {
			return at, false
		}
	}
	return at, true
}

// fits reports whether what comes next can be searched in p.
func (s *scrubbed) fits(p []byte) bool {
	return s.messages == nil && s.scan.drops == 0 && s.scan.pads == 0 && len(p) >= inPlace+len(s.scan.late)+len(s.scan.held)
}

// readInto puts what is held back and what comes next where the reader wants them,
// and takes what of that is held back now off its end. So an answer without a secret
// is not copied on its way. What holds one is left to feed.
func (s *scrubbed) readInto(p []byte) int {
	had := copy(p, s.scan.late)
	had += copy(p[had:], s.scan.held)
	n, err := s.r.Read(p[had:])
	p = p[:had+n]
	at, ok := s.scan.a.passes(s.scan.at, p[had:])
	if err = s.weigh(n, err); !ok || err == ErrBomb { //nolint:errorlint // as weigh returns it
		s.came(p[had:], err)
		clear(p)
		return 0
	}
	goes, clean := s.scan.split(p, at)
	s.scan.late = append(s.scan.late[:0], p[goes:clean]...)
	s.scan.held = append(s.scan.held[:0], p[clean:]...)
	s.scan.at = at
	clear(p[goes:])
	s.out = s.out[:0]
	s.ended(err)
	return goes
}
