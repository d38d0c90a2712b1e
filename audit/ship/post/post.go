// Package post gives batches of records to receivers that take them over HTTP.
package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"sallyport/audit/ship"
)

// Options of a client. URL is required.
type Options struct {
	URL  string      // of the receiver; http or https
	TLS  *tls.Config // how it proves who it is, and who asks; nil is the system's way
	Gzip bool        // whether bodies are compressed
	// Header sets what a request has beside its body, such as who asks. It is called for
	// each, so that what it says can change.
	Header func(http.Header) error
}

// A Client posts to one receiver. It does not follow redirects, and heeds no proxy
// of the environment. It is for one goroutine.
type Client struct {
	o    Options
	base *url.URL
	c    *http.Client
	buf  bytes.Buffer
	zip  *gzip.Writer
}

// maxAnswer is what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// New checks the options; nothing is sent yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("expected a URL such as https://logs.example.com/path")
	}
	if u.User != nil {
		return nil, errors.New("the URL has a user or a password in it: say who asks in another key")
	}
	t := &http.Transport{TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 25 * time.Second, MaxResponseHeaderBytes: 64 << 10}
	return &Client{o: o, base: u, c: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// String is the receiver, without the query, which may hold a secret.
func (c *Client) String() string { return c.base.Scheme + "://" + c.base.Host + c.base.EscapedPath() }

// Close gives idle connections up.
func (c *Client) Close() error {
	c.c.CloseIdleConnections()
	return nil
}

// An Answer is what a receiver said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Post sends a body to a path below the URL; path "" is the URL itself.
func (c *Client) Post(ctx context.Context, path, contentType string, body []byte, more func(http.Header, []byte)) (*Answer, error) {
	u := *c.base
	if path != "" {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
	}
	if c.o.Gzip {
		c.buf.Reset()
		if c.zip == nil {
			c.zip = gzip.NewWriter(&c.buf)
		}
		c.zip.Reset(&c.buf)
		if _, err := c.zip.Write(body); err != nil {
			return nil, err
		}
		if err := c.zip.Close(); err != nil {
			return nil, err
		}
		body = bytes.Clone(c.buf.Bytes())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "sallyport")
	if c.o.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if c.o.Header != nil {
		if err := c.o.Header(req.Header); err != nil {
			return nil, err
		}
	}
	if more != nil {
		more(req.Header, body)
	}
	resp, err := c.c.Do(req)
	if err != nil {
		var ue *url.Error // which has the whole URL in it
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%s: its answer: %w", c, err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%s: its answer is longer than %d bytes", c, maxAnswer)
	}
	return &Answer{resp.StatusCode, resp.Header, b}, nil
}

// Verdict is what a status means for the records: nil for 2xx; a RejectedError
// for what says that the body itself is wrong; to be sent again for all others,
// since hardly another error is one of the records.
func (c *Client) Verdict(a *Answer) error {
	if a.Status >= 200 && a.Status < 300 {
		return nil
	}
	err := fmt.Errorf("%s: status %d%s", c, a.Status, said(a.Body))
	switch a.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		return &ship.RejectedError{Why: err.Error()}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if n, perr := strconv.Atoi(a.Header.Get("Retry-After")); perr == nil && n > 0 {
			return &ship.WaitError{For: time.Duration(n) * time.Second, Err: err}
		}
	}
	return err
}

// said is the beginning of an answer, for people.
func said(b []byte) string {
	s := strings.Join(strings.FieldsFunc(string(b[:min(len(b), 300)]), func(r rune) bool { return r < ' ' || r == 0x7f || r == ' ' || r == '\ufffd' }), " ")
	if s == "" {
		return ""
	}
	return ": " + s
}

// Lines joins records as NDJSON.
func Lines(rs []ship.Record) []byte {
	n := 0
	for _, r := range rs {
		n += len(r.Line) + 1
	}
	b := make([]byte, 0, n)
	for _, r := range rs {
		b = append(append(b, r.Line...), '\n')
	}
	return b
}
