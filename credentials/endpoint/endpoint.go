// Package endpoint asks servers that give secrets: over https, one at a time, and believing little.
package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxAnswer is more than any token has. What is longer is not read.
const maxAnswer = 64 << 10

// An Endpoint is where a secret is asked for. It is safe for concurrent use. No proxy of the
// environment is used, no redirect followed, and no connection kept.
type Endpoint struct {
	url *url.URL
	ca  string
}

// Options of an Endpoint. The zero Options are good for public servers.
type Options struct {
	CA        string // PEM file of CAs beside the system's, read anew each time; "" is none
	AllowHTTP bool   // also without TLS to what is not this machine
}

// New reads a URL: https, or http to this machine's own addresses.
func New(text string, o Options) (*Endpoint, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("expected a URL, https://HOST[:PORT]/PATH")
	case u.User != nil: // not repeated
		return nil, errors.New("a user and password have no place in the URL")
	case u.Fragment != "":
		return nil, errors.New("a fragment has no place in the URL")
	case u.Scheme == "http" && !o.AllowHTTP && !loopback(u.Hostname()):
		return nil, errors.New("http is only for this machine's own addresses, such as 127.0.0.1: anybody on the way could read what is asked and given; allow_http says otherwise")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("expected https://HOST[:PORT]/PATH")
	case u.Scheme == "http" && o.CA != "":
		return nil, errors.New("a ca is for https")
	}
	e := &Endpoint{u, o.CA}
	_, err = e.roots()
	return e, err
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// String is the URL without its query.
func (e *Endpoint) String() string {
	return (&url.URL{Scheme: e.url.Scheme, Host: e.url.Host, Path: e.url.Path}).String()
}

// URL is the whole of it, as servers compare it.
func (e *Endpoint) URL() string { return e.url.String() }

// Below returns the endpoint at a path below this one, whose segments are escaped.
func (e *Endpoint) Below(segments ...string) *Endpoint {
	u := *e.url
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	u.RawPath = path
	u.Path, _ = url.PathUnescape(path)
	return &Endpoint{&u, e.ca}
}

// roots are the CAs that vouch for the server; nil are the system's.
func (e *Endpoint) roots() (*x509.CertPool, error) {
	if e.ca == "" {
		return nil, nil
	}
	b, err := os.ReadFile(e.ca)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, said("there is no PEM certificate in " + e.ca)
	}
	return pool, nil
}

// An Answer is what an endpoint said, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // at most 64 KiB; never for a message
}

// An Error is an answer that gives nothing. It repeats nothing of it but a code
// of a list that the caller has.
type Error struct {
	At     string
	Status int
	Code   string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s answered %d", e.At, e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	return s
}

// Ask sends one request and reads the answer. The context bounds all of it. Errors say
// nothing of what was sent or answered.
func (e *Endpoint) Ask(ctx context.Context, method string, h http.Header, body []byte) (*Answer, error) {
	fail := func(err error) (*Answer, error) { return nil, fmt.Errorf("%s: %w", e, plain(err)) }
	roots, err := e.roots()
	if err != nil {
		return fail(err)
	}
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
	}
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, method, e.url.String(), strings.NewReader(string(body)))
	if err != nil {
		return fail(said("it cannot be asked that"))
	}
	for k, v := range h {
		req.Header[k] = v
	}
	if len(h["Host"]) == 1 {
		req.Host = h.Get("Host")
	}
	req.Header.Set("User-Agent", "sallyport")
	resp, err := c.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fail(err)
	case len(b) > maxAnswer:
		return fail(said(fmt.Sprintf("its answer is longer than %d bytes", maxAnswer)))
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fail(said(fmt.Sprintf("it answered %d: redirects are not followed", resp.StatusCode)))
	case resp.Header.Get("Content-Encoding") != "":
		return fail(said("its answer is coded, which was not asked for"))
	}
	return &Answer{resp.StatusCode, resp.Header, b}, nil
}

// said is an error in words of our own.
type said string

func (s said) Error() string { return string(s) }

// plain is an error without the URL, which errors of net/http repeat whole, and
// without what a server said in its place.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var own said
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &own), errors.As(err, &op), errors.As(err, &verify), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return said("its answer breaks off")
	}
	return said("its answer is not one of HTTP")
}
