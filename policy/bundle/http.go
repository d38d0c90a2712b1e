package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Waiting is the content type by which a server says that it waits, as OPA's
// bundle service API has it.
const Waiting = "application/vnd.openpolicyagent.bundles"

// Bounds of an exchange.
const (
	requestTime = time.Minute // beside what a server is asked to wait
	maxHops     = 5
	maxTag      = 1024
)

// HTTPOptions say what a bundle is asked for with.
type HTTPOptions struct {
	URL   *url.URL
	Token func() (string, error) // sent as a bearer token; nil is none. It is called for each request
	TLS   *tls.Config            // its certificates are shown to the origin of URL alone
	Max   int64                  // bytes of a bundle
	Time  time.Duration          // of a request, beside the wait; 0 means a minute
}

// An HTTP is a source of one URL.
type HTTP struct {
	o        HTTPOptions
	own      *http.Client // for the origin of the URL
	stranger *http.Client // for wherever that leads to
}

var _ Source = (*HTTP)(nil)

// NewHTTP returns the source of a URL.
func NewHTTP(o HTTPOptions) *HTTP {
	o.Time = cmp.Or(o.Time, requestTime)
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	unknown := o.TLS.Clone()
	unknown.Certificates = nil
	return &HTTP{o, client(o.TLS), client(unknown)}
}

// client follows nothing, asks no other proxy, and leaves bytes as they are.
func client(c *tls.Config) *http.Client {
	d := &net.Dialer{Timeout: 10 * time.Second, Control: notMetadata}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: c, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: 5 * time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// String is the URL without its query, which may have a signature in it.
func (h *HTTP) String() string { return Shown(h.o.URL) }

// Shown is a URL as it can be told.
func Shown(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}

// Fetch asks the URL, and where it leads to.
func (h *HTTP) Fetch(ctx context.Context, a Ask) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.Time+a.Wait)
	defer cancel()
	at := h.o.URL
	for hop := 0; ; hop++ {
		resp, err := h.ask(ctx, at, a)
		if err != nil {
			return Answer{}, err
		}
		if to := resp.Header.Get("Location"); resp.StatusCode > 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
			_ = resp.Body.Close()
			if at, err = h.next(at, to, hop); err != nil {
				return Answer{}, err
			}
			continue
		}
		ans, err := h.answer(ctx, resp, a)
		_ = resp.Body.Close()
		return ans, err
	}
}

// ask sends one request.
func (h *HTTP) ask(ctx context.Context, at *url.URL, a Ask) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, failed(BadRedirect, "%w", err)
	}
	req.Header.Set("User-Agent", "sallyport")
	prefer := "modes=snapshot"
	if a.Wait > 0 {
		prefer += ";wait=" + strconv.Itoa(int(a.Wait/time.Second))
	}
	req.Header.Set("Prefer", prefer)
	if a.ETag != "" {
		req.Header.Set("If-None-Match", a.ETag)
	}
	c := h.stranger
	if sameOrigin(at, h.o.URL) {
		c = h.own
		if h.o.Token != nil {
			token, err := h.o.Token()
			if err != nil {
				return nil, failed(NoToken, "the token: %w", err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, h.broken(ctx, at, err)
	}
	return resp, nil
}

// broken says how an exchange broke off, without the URL, which may have a secret
// in it.
func (h *HTTP) broken(ctx context.Context, at *url.URL, err error) *Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var n net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return failed(Slow, "%s: it took too long", Shown(at))
	}
	return failed(Unreachable, "%s: %w", Shown(at), err)
}

// answer reads what came.
func (h *HTTP) answer(ctx context.Context, resp *http.Response, a Ask) (Answer, error) {
	out := Answer{Status: resp.StatusCode, Waits: strings.HasPrefix(resp.Header.Get("Content-Type"), Waiting)}
	at := resp.Request.URL
	fail := func(c Code, format string, args ...any) (Answer, error) {
		e := failed(c, "%s: %w", Shown(at), fmt.Errorf(format, args...))
		e.Status, e.After = resp.StatusCode, after(resp)
		return out, e
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && a.ETag == "":
		return fail(BadAnswer, "it says that nothing is new, and was not told of anything")
	case resp.StatusCode == http.StatusNotModified:
		return out, nil
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fail(BadStatus, "%s: it wants another token or certificate", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fail(BadStatus, "%s", resp.Status)
	case resp.ContentLength > h.o.Max:
		return fail(TooLarge, "it is larger than %d bytes", h.o.Max)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, h.o.Max+1))
	switch {
	case err != nil && ctx.Err() == nil:
		return fail(Unreachable, "it broke off after %d bytes: %w", len(b), err)
	case err != nil:
		return fail(Slow, "it took too long: %d bytes came", len(b))
	case int64(len(b)) > h.o.Max:
		return fail(TooLarge, "it is larger than %d bytes", h.o.Max)
	case !bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return fail(NotBundle, "it is no bundle, but %d bytes of %q", len(b), resp.Header.Get("Content-Type"))
	}
	out.Bundle = &Bundle{Bytes: b}
	if t := resp.Header.Get("ETag"); len(t) <= maxTag {
		out.Bundle.ETag = t
	}
	return out, nil
}

// after is how long a server wants to be left alone for, at most an hour.
func after(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}
