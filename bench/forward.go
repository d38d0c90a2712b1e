package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"
)

// A forward is the floor as an explicit proxy: CONNECT to a host that is passed
// through is copied, all else is opened with one certificate and goes through a
// bare httputil.ReverseProxy. No policy, no record, no credential.
type forward struct {
	cert   tls.Certificate
	inside chan net.Conn
}

// serveForward serves one until its input ends, and prints its port.
func serveForward(t task) error {
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(t.CA)
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(ca)
	f := &forward{inside: make(chan net.Conn)}
	var text []byte
	if f.cert, text, err = selfSigned(); err != nil {
		return err
	}
	if err := os.WriteFile(t.CA+".floor", text, 0o644); err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	tr := &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, DisableCompression: true, ForceAttemptHTTP2: t.H2,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: "api.example.com"}}
	p := &httputil.ReverseProxy{Transport: tr, ErrorLog: quiet, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		_, port, _ := net.SplitHostPort(r.In.Host)
		r.Out.URL.Scheme, r.Out.URL.Host = "https", "127.0.0.1:"+port
	}}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(t.H2)
	in := &http.Server{Handler: p, Protocols: protocols, ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	go func() { _ = in.Serve(f) }()
	out := &http.Server{Handler: http.HandlerFunc(f.connect), ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() { _ = out.Serve(l) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func (f *forward) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil {
		http.Error(w, "CONNECT HOST:PORT", http.StatusBadRequest)
		return
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = c.Close()
		return
	}
	if !strings.HasPrefix(host, "tunnel.") {
		cfg := &tls.Config{Certificates: []tls.Certificate{f.cert}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
		tc := tls.Server(c, cfg)
		if tc.Handshake() != nil {
			_ = c.Close()
			return
		}
		f.inside <- tc
		return
	}
	up, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		_ = c.Close()
		return
	}
	go func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, up)
	_, _ = c.Close(), up.Close()
}

// Accept gives the server what was opened.
func (f *forward) Accept() (net.Conn, error) {
	if c, ok := <-f.inside; ok {
		return c, nil
	}
	return nil, errors.ErrUnsupported
}

// Close does nothing: the process ends.
func (f *forward) Close() error { return nil }

// Addr is of no use.
func (f *forward) Addr() net.Addr { return &net.TCPAddr{} }
