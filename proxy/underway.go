package proxy

// UnderWay counts the connections that sandboxes have open and the requests that
// are under way on them.
func (s *Server) UnderWay() (conns, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.gates {
		conns += int(g.conns.Load())
		requests += int(g.active.Load())
	}
	return conns, requests
}
