package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of what those can cause who have not shown who they are.
const (
	maxStrangers     = 256 // connections to one door
	maxStrangersFrom = 64  // of those, from one source
	guessBurst       = 10  // wrong tokens from one source at once
	guessEvery       = 2 * time.Second
	guessSources     = 1024 // that are kept apart
)

// strangers bounds connections and guesses at one door, in bounded memory.
type strangers struct {
	mu      sync.Mutex
	here    int
	from    map[netip.Addr]int
	guesses map[netip.Addr]time.Time // when all that was guessed is forgiven
	rest    time.Time                // of sources beyond those that are kept apart
	slack   slack                    // for what carries nothing
}

func newStrangers() *strangers {
	return &strangers{from: map[netip.Addr]int{}, guesses: map[netip.Addr]time.Time{}}
}

// source is what connections are counted by: an address, or its /64.
func source(a net.Addr) netip.Addr {
	ip := addrPort(a).Addr()
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.Addr()
	}
	return ip
}

// enter reports whether there is room for one more; leave makes it again.
func (s *strangers) enter(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.here >= maxStrangers || s.from[from] >= maxStrangersFrom {
		return false
	}
	s.here++
	s.from[from]++
	return true
}

func (s *strangers) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.here--
	if s.from[from]--; s.from[from] == 0 {
		delete(s.from, from)
	}
}

// guess charges a source for a token before it is looked at, or reports that it
// has guessed too much. The charge of one that is right is refunded.
func (s *strangers) guess(from netip.Addr) (refund func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	at, kept := s.guesses[from]
	if !kept {
		if len(s.guesses) >= guessSources {
			for k, t := range s.guesses {
				if !t.After(now) {
					delete(s.guesses, k)
				}
			}
		}
		kept = len(s.guesses) < guessSources
	}
	if !kept {
		at = s.rest
	}
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) > (guessBurst-1)*guessEvery {
		return nil, false
	}
	s.charge(from, kept, at.Add(guessEvery))
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if kept {
			at = s.guesses[from]
		} else {
			at = s.rest
		}
		s.charge(from, kept, at.Add(-guessEvery))
	}, true
}

func (s *strangers) charge(from netip.Addr, kept bool, at time.Time) {
	switch {
	case !kept:
		s.rest = at
	case at.After(time.Now()):
		s.guesses[from] = at
	default:
		delete(s.guesses, from)
	}
}
