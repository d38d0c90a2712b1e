package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// An Endpoint says where a sidecar takes commands, and what is shown to it there.
type Endpoint struct {
	At string // path of the control socket, or https://HOST:PORT
	// Over TCP: files of the CAs that the sidecar's certificate may be of ("" means
	// the system's), of the certificate and key that are shown, and of the token.
	CA, Cert, Key, Token string
}

// Remote reports whether the endpoint is reached over TCP.
func (e Endpoint) Remote() bool { return strings.Contains(e.At, "://") }

// Client returns a client of the endpoint. Nothing is connected yet; what is wrong
// with the endpoint every call returns.
func (e Endpoint) Client() *Client {
	if !e.Remote() {
		if e.CA+e.Cert+e.Key+e.Token != "" && strings.Contains(e.At, ":") && !strings.Contains(e.At, "/") {
			return &Client{bad: fmt.Errorf("%s is no path of a socket; over TCP it is https://%s", e.At, e.At)}
		}
		return NewClient(e.At)
	}
	c, err := e.remote()
	if err != nil {
		return &Client{bad: err}
	}
	return c
}

func (e Endpoint) remote() (*Client, error) {
	u, err := url.Parse(e.At)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%s: over TCP a sidecar is commanded by https only: https://HOST:PORT", e.At)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if e.CA != "" {
		b, err := os.ReadFile(e.CA)
		if err != nil {
			return nil, fmt.Errorf("the CA of the sidecar: %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("the CA of the sidecar: %s: there is no PEM certificate in it", e.CA)
		}
	}
	if (e.Cert == "") != (e.Key == "") {
		return nil, errors.New("a certificate and its key are named together")
	}
	if e.Cert != "" {
		pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
		if err != nil {
			return nil, fmt.Errorf("the certificate that is shown to the sidecar: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	c := &Client{base: "https://" + u.Host}
	if e.Token != "" {
		b, err := os.ReadFile(e.Token)
		if err != nil {
			return nil, fmt.Errorf("the token for the sidecar: %w", err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		if c.token = strings.TrimSpace(first); c.token == "" {
			return nil, fmt.Errorf("the token for the sidecar: %s is empty", e.Token)
		}
	}
	c.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: cfg, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // nobody else is shown the token
	}
	return c, nil
}
