// Package origin is a server to be reached through a gate: on loopback, with
// certificates of its own CA, telling what it was sent.
package origin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options of an origin. The zero Options are good for any name.
type Options struct {
	// Handler answers; nil means the built-in one.
	Handler http.Handler
	// HTTP1 leaves HTTP/2 out.
	HTTP1 bool
	// H2C lets the port without TLS speak HTTP/2, beside HTTP/1.
	H2C bool
	// Keep is a directory in which the CA and its key outlive a restart; "" makes
	// new ones each time.
	Keep string
	// Address to listen on; "" means 127.0.0.1.
	Address string
	// TLSPort and PlainPort are chosen by the system when 0.
	TLSPort, PlainPort int
	// Expired and WrongName spoil the certificate.
	Expired, WrongName bool
	// MaxTLS is the newest version of TLS that it speaks; 0 means the newest there is.
	MaxTLS uint16
}

// A Request is what the origin saw.
type Request struct {
	Proto, Method, Target, Host string
	Header                      http.Header
	Body                        string
	Cut                         bool // the body ended before its end
}

// An Origin is a running server. It is safe for concurrent use.
type Origin struct {
	TLSPort, PlainPort int
	ca                 []byte
	servers            []*http.Server
	wg                 sync.WaitGroup
	mu                 sync.Mutex
	seen               []Request
}

// Start listens, with TLS under any name and without.
func Start(o Options) (*Origin, error) {
	g := &Origin{}
	issue, ca, err := authority(o)
	if err != nil {
		return nil, err
	}
	g.ca = ca
	h := o.Handler
	if h == nil {
		h = http.HandlerFunc(g.answer)
	}
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	for _, useTLS := range []bool{true, false} {
		port := o.PlainPort
		if useTLS {
			port = o.TLSPort
		}
		l, err := net.Listen("tcp", net.JoinHostPort(o.Address, fmt.Sprint(port)))
		if err != nil {
			g.Close()
			return nil, err
		}
		p := new(http.Protocols)
		p.SetHTTP1(true)
		p.SetHTTP2(useTLS && !o.HTTP1)
		p.SetUnencryptedHTTP2(!useTLS && o.H2C)
		s := &http.Server{Handler: h, Protocols: p, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: o.MaxTLS, GetCertificate: issue}}
		g.servers = append(g.servers, s)
		if useTLS {
			g.TLSPort = l.Addr().(*net.TCPAddr).Port
			g.wg.Go(func() { _ = s.ServeTLS(l, "", "") })
		} else {
			g.PlainPort = l.Addr().(*net.TCPAddr).Port
			g.wg.Go(func() { _ = s.Serve(l) })
		}
	}
	return g, nil
}

// CAPEM returns the certificate by which the origin is trusted.
func (g *Origin) CAPEM() []byte { return g.ca }

// Close ends it.
func (g *Origin) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	for _, s := range g.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
	g.wg.Wait()
}

// Seen returns the requests so far.
func (g *Origin) Seen() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Request(nil), g.seen...)
}

// authority makes what issues certificates for any name by a CA, and tells the CA.
func authority(o Options) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), []byte, error) {
	ca, key, text, err := kept(o.Keep)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	var mu sync.Mutex
	made := map[string]*tls.Certificate{}
	issue := func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := h.ServerName
		if name == "" {
			name = "127.0.0.1"
		}
		mu.Lock()
		defer mu.Unlock()
		if c := made[name]; c != nil {
			return c, nil
		}
		leaf := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
		if o.Expired {
			leaf.NotAfter = now.Add(-time.Minute)
		}
		if o.WrongName {
			name = "wrong." + name
		}
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = []net.IP{ip}
		} else {
			leaf.DNSNames = []string{name}
		}
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &k.PublicKey, key)
		if err != nil {
			return nil, err
		}
		c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
		made[h.ServerName] = c
		return c, nil
	}
	return issue, text, nil
}
