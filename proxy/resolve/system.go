package resolve

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A System asks the servers that a file such as /etc/resolv.conf names, and reads it
// again when it was replaced. It is safe for concurrent use.
type System struct {
	file string

	mu      sync.Mutex
	at      time.Time // of the file
	servers *Resolver
}

// NewSystem makes a System; the file is read when something is asked.
func NewSystem(file string) *System { return &System{file: file} }

// Exchange is that of Resolver.
func (s *System) Exchange(ctx context.Context, name string, qtype uint16) ([]byte, error) {
	r, err := s.now()
	if err != nil {
		return nil, err
	}
	return r.Exchange(ctx, name, qtype)
}

// LookupNetIP is that of Resolver.
func (s *System) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	r, err := s.now()
	if err != nil {
		return nil, err
	}
	return r.LookupNetIP(ctx, network, name)
}

func (s *System) now() (*Resolver, error) {
	st, err := os.Stat(s.file)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.servers != nil && st.ModTime().Equal(s.at) {
		return s.servers, nil
	}
	c, err := dns.ClientConfigFromFile(s.file)
	if err != nil {
		return nil, err
	}
	var of []Server
	for _, a := range c.Servers {
		of = append(of, Server{Scheme: "udp", Host: a, Port: 53})
	}
	r, err := New(of, Options{})
	if err != nil {
		return nil, errors.New(s.file + " names no server")
	}
	s.servers, s.at = r, st.ModTime()
	return r, nil
}
