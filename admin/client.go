package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A Client commands a sidecar on its control socket, or over TCP. It is safe for
// concurrent use.
type Client struct {
	http   *http.Client
	base   string
	socket string // "" over TCP
	flag   string // that names the socket; "" is --control
	token  string
	bad    error // why it cannot be used; every call returns it
}

// NewClient returns a client of the socket at path. Nothing is connected yet.
func NewClient(path string) *Client {
	return &Client{base: "http://sallyport", socket: path, http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}}
}

// NamedBy has errors say that this flag names the socket, where it is not --control.
func (c *Client) NamedBy(flag string) *Client {
	c.flag = flag
	return c
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// call asks, and reads the answer into out unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return exact(resp.Body).Decode(out)
}

func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	if c.bad != nil {
		return nil, c.bad
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		p := &Problem{Detail: resp.Status}
		_ = json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(p)
		return nil, p
	}
	return resp, nil
}

func at(ref string) string { return "/v1/sandboxes/" + url.PathEscape(ref) }

// Create makes a sandbox.
func (c *Client) Create(ctx context.Context, in Create) (out Created, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/sandboxes", in, &out)
	return out, err
}

// Get returns the sandbox with a name or id.
func (c *Client) Get(ctx context.Context, ref string) (out Sandbox, err error) {
	err = c.call(ctx, http.MethodGet, at(ref), nil, &out)
	return out, err
}

// List returns the sandboxes that have all the labels.
func (c *Client) List(ctx context.Context, labels map[string]string) (out []Sandbox, err error) {
	q := url.Values{}
	for k, v := range labels {
		q.Add("label", k+"="+v)
	}
	err = c.call(ctx, http.MethodGet, "/v1/sandboxes?"+q.Encode(), nil, &out)
	return out, err
}

// Change changes a sandbox.
func (c *Client) Change(ctx context.Context, ref string, p Patch) (out Sandbox, err error) {
	err = c.call(ctx, http.MethodPatch, at(ref), p, &out)
	return out, err
}

// Remove forgets a sandbox.
func (c *Client) Remove(ctx context.Context, ref string) error {
	return c.call(ctx, http.MethodDelete, at(ref), nil, nil)
}

// Status tells how the sidecar is.
func (c *Client) Status(ctx context.Context) (out Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &out)
	return out, err
}

// Watch calls see for each change until ctx ends or see fails.
func (c *Client) Watch(ctx context.Context, see func(Change) error) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/watch", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, maxBody)
	for in.Scan() {
		var ch Change
		if err := exact(bytes.NewReader(in.Bytes())).Decode(&ch); err != nil {
			return err
		}
		if err := see(ch); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
	return io.ErrUnexpectedEOF
}
