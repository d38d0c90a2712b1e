package resolve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Server is a name server and how it is asked.
type Server struct {
	Scheme string // udp, tcp, tls (RFC 7858) or https (RFC 8484)
	Host   string // an address; with https it may be a name, which the system's servers know
	Port   uint16
	Path   string // with https
	Name   string // that its certificate is for; "" is Host
	// Roots are what its certificate may be of, in place of all others; nil leaves those of Options.
	Roots *x509.CertPool
}

const form = "udp://ADDRESS[:PORT], tcp://ADDRESS[:PORT], tls://ADDRESS[:PORT][#NAME] or https://HOST[:PORT]/PATH[#NAME]"

var ports = map[string]uint16{"udp": 53, "tcp": 53, "tls": 853, "https": 443}

// Parse reads udp://ADDRESS[:PORT], tcp://, tls:// with #NAME of the certificate, or
// https://HOST/PATH with #NAME.
func Parse(s string) (Server, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Opaque != "" || ports[u.Scheme] == 0 {
		return Server{}, fmt.Errorf("expected %s", form)
	}
	out := Server{Scheme: u.Scheme, Host: u.Hostname(), Port: ports[u.Scheme], Path: u.Path, Name: u.Fragment}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Server{}, errors.New("the port is not a number from 1 to 65535")
		}
		out.Port = uint16(n)
	}
	a, err := netip.ParseAddr(out.Host)
	switch {
	case err == nil && (a.Zone() != "" || a.IsUnspecified() || a.IsMulticast()):
		return Server{}, fmt.Errorf("%s is no address to ask", a)
	case err != nil && u.Scheme != "https":
		return Server{}, fmt.Errorf("%q is not an address: who would look it up?", out.Host)
	case u.Scheme != "https" && strings.Trim(u.Path, "/") != "":
		return Server{}, fmt.Errorf("a path is for https; expected %s", form)
	case u.Scheme == "https" && out.Path == "":
		return Server{}, errors.New("the path is missing, such as /dns-query")
	case out.Name != "" && u.Scheme != "https" && u.Scheme != "tls":
		return Server{}, errors.New("#NAME is what a certificate is for, which tls and https have")
	}
	if u.Scheme != "https" {
		out.Path = ""
	}
	return out, nil
}

// String returns what Parse reads.
func (s Server) String() string {
	out := s.Scheme + "://" + net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) + s.Path
	if s.Name != "" {
		out += "#" + s.Name
	}
	return out
}

func (s Server) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// named is what a certificate has to be for.
func (s Server) named() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Host
}

// A server is one that is asked.
type server struct {
	Server
	counts
	opts Options
	tls  *tls.Config
	web  *http.Client // with https

	mu   sync.Mutex
	idle []kept // connections of tcp and tls, the newest last
}

// A kept connection is used again soon, or not at all.
type kept struct {
	net.Conn
	at time.Time
}

const (
	keepFor  = 8 * time.Second
	keepMost = 4
)

func newServer(s Server, o Options) *server {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	roots := s.Roots
	if roots == nil {
		roots = o.Roots
	}
	out := &server{Server: s, opts: o, tls: &tls.Config{ServerName: s.named(), RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)}}
	if s.Scheme == "https" {
		out.web = out.client()
	}
	return out
}

// take returns a connection that was kept, or nil.
func (s *server) take() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		k := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if time.Since(k.at) < keepFor {
			return k.Conn
		}
		_ = k.Close()
	}
	return nil
}

func (s *server) keep(c net.Conn) {
	_ = c.SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) >= keepMost {
		_ = s.idle[0].Close()
		s.idle = s.idle[1:]
	}
	s.idle = append(s.idle, kept{c, time.Now()})
	time.AfterFunc(keepFor, s.expire)
}

// expire closes what was kept for too long.
func (s *server) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle) > 0 && time.Since(s.idle[0].at) >= keepFor {
		_ = s.idle[0].Close()
		s.idle = s.idle[1:]
	}
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.idle {
		_ = k.Close()
	}
	s.idle = nil
	if s.web != nil {
		s.web.CloseIdleConnections()
	}
}
