package bundles

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Server publishes a bundle over TLS on 127.0.0.1, as OPA's bundle service API
// has it, or goes wrong. It is safe for concurrent use.
type Server struct {
	CA   string // PEM
	Addr string // of 127.0.0.1

	cert tls.Certificate
	srv  *http.Server

	mu      sync.Mutex
	bundle  []byte
	tag     string
	waits   bool
	changed chan struct{}
	wrong   http.HandlerFunc
	seen    []*http.Request
}

// Serve starts one that has nothing to give yet.
func Serve() *Server {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	x := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost", "bundles.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	must(err)
	s := &Server{CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, changed: make(chan struct{}), Addr: "127.0.0.1:0"}
	s.Up()
	return s
}

// Certificate is its certificate and key, in PEM: a client can show it, too.
func (s *Server) Certificate() (cert, key string) {
	der, err := x509.MarshalPKCS8PrivateKey(s.cert.PrivateKey)
	must(err)
	return s.CA, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Up listens, for the first time or again.
func (s *Server) Up() {
	l, err := net.Listen("tcp", s.Addr)
	must(err)
	s.Addr = l.Addr().String()
	s.srv = &http.Server{Handler: http.HandlerFunc(s.answer), TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.cert}, ClientAuth: tls.RequestClientCert}}
	go func(srv *http.Server) { _ = srv.ServeTLS(l, "", "") }(s.srv)
}

// Down cuts what is open, and listens no more.
func (s *Server) Down() { _ = s.srv.Close() }

// URL is where a path is.
func (s *Server) URL(path string) string { return "https://" + s.Addr + path }

// Publish has a bundle to give from now on; "" is no tag.
func (s *Server) Publish(b []byte, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundle, s.tag, s.wrong = b, tag, nil
	close(s.changed)
	s.changed = make(chan struct{})
}

// Waits says whether it waits for a new one when it is asked to.
func (s *Server) Waits(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = yes
}

// Wrong answers otherwise from now on, until something is published.
func (s *Server) Wrong(how http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = how
}

// Seen are the requests that came.
func (s *Server) Seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.seen...)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Clone(context.WithoutCancel(r.Context())))
	b, tag, waits, changed, wrong := s.bundle, s.tag, s.waits, s.changed, s.wrong
	s.mu.Unlock()
	if wrong != nil {
		wrong(w, r)
		return
	}
	if _, wait, ok := strings.Cut(r.Header.Get("Prefer"), "wait="); ok && waits {
		w.Header().Set("Content-Type", "application/vnd.openpolicyagent.bundles")
		if n, err := strconv.Atoi(wait); err == nil && tag != "" && r.Header.Get("If-None-Match") == tag {
			select {
			case <-changed:
			case <-time.After(time.Duration(n) * time.Second):
			case <-r.Context().Done():
				return
			}
			s.mu.Lock()
			b, tag = s.bundle, s.tag
			s.mu.Unlock()
		}
	} else {
		w.Header().Set("Content-Type", "application/gzip")
	}
	switch {
	case b == nil:
		http.NotFound(w, r)
		return
	case tag != "":
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(b)
}
