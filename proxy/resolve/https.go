package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const messageType = "application/dns-message"

// client speaks to one server and to no other.
func (s *server) client() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return s.opts.Dial(ctx, "tcp", s.address())
			},
			TLSClientConfig:        s.tls.Clone(),
			TLSHandshakeTimeout:    tryLimit,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    keepMost,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// post asks over HTTPS: RFC 8484, 4.1. The id is 0, so that caches on the way can
// be used.
func (s *server) post(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	q.Id = 0
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(s.named(), strconv.Itoa(int(s.Port))), Path: s.Path}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(wire))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", messageType)
	req.Header.Set("Accept", messageType)
	req.Header["User-Agent"] = nil
	resp, err := s.web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if t := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || t != messageType {
		return nil, fmt.Errorf("it answers with status %d and not with a message", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMessage {
		return nil, errors.New("its answer is too large")
	}
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return nil, err
	}
	if m.Truncated {
		return nil, errors.New("its answer is cut")
	}
	return m, answers(q, m)
}
