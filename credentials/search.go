package credentials

// A Search takes the secrets of a Grant out of what comes in pieces, such as the
// messages of a WebSocket. It is for one goroutine.
type Search struct {
	scan scan
	hits int
}

// Search begins a search. A Grant can have many.
func (g *Grant) Search() *Search {
	return &Search{scan: scan{a: g.find, even: true}}
}

// Feed appends what is known to be no secret, with markers for what was one. With
// last nothing is held back: what comes then is of something else.
func (s *Search) Feed(dst, p []byte, last bool) []byte {
	dst = s.scan.feed(dst, p)
	if last {
		dst = s.scan.flush(dst)
		s.scan.drops, s.scan.pads = 0, 0
	}
	return dst
}

// Found takes how many secrets were found since it was asked.
func (s *Search) Found() int {
	n := s.scan.hits - s.hits
	s.hits = s.scan.hits
	return n
}
