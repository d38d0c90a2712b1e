package differ

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A recorder is the Go server, and what stands behind nginx, Apache and HAProxy
// to see what they understood.
type recorder struct {
	mu      sync.Mutex
	seen    []seen
	servers []*http.Server
}

func record(t *testing.T, z *zoo) *recorder {
	t.Helper()
	r := &recorder{}
	cert, err := tls.LoadX509KeyPair(z.Cert, z.Cert)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(name string, port int, secure, h2 bool) {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", z.At(name), port))
		if err != nil {
			t.Fatal(err)
		}
		from := name
		if fronts(name) {
			from += ">go"
		}
		p := new(http.Protocols)
		p.SetHTTP1(true)
		p.SetHTTP2(h2)
		s := &http.Server{Protocols: p, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 1 << 20, DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.take(from, w, req) })}
		r.servers = append(r.servers, s)
		go func() {
			if secure {
				_ = s.ServeTLS(l, "", "")
			} else {
				_ = s.Serve(l)
			}
		}()
	}
	for _, n := range origins {
		if fronts(n) {
			serve(n, behindPort, false, false)
		}
	}
	serve("go", plainPort, false, false)
	serve("go", tlsPort, true, true)
	serve("go", tlsH1Port, true, false)
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) take(from string, w http.ResponseWriter, req *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, req.Body)
	s := seen{Origin: from, Conn: req.RemoteAddr, Method: req.Method, Target: req.RequestURI, Host: req.Host, Complete: err == nil, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}
	for k, vs := range req.Header {
		for _, v := range vs {
			s.Headers = append(s.Headers, [2]string{k, v})
		}
	}
	for k, vs := range req.Trailer {
		for _, v := range vs {
			s.Trailers = append(s.Trailers, [2]string{k, v})
		}
	}
	r.mu.Lock()
	r.seen = append(r.seen, s)
	r.mu.Unlock()
	_, _ = io.WriteString(w, "ok\n")
}

func (r *recorder) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range r.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
}

// certify makes a CA, and one certificate for all origins.
func (z *zoo) certify() {
	z.t.Helper()
	check := func(err error) {
		z.t.Helper()
		if err != nil {
			z.t.Fatal(err)
		}
	}
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "zoo"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "origin"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), DNSNames: []string{"*.example.com"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	check(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	check(err)
	z.CA = z.file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
	z.Cert = z.file("origin.pem", append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})...))
}
