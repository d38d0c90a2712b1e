package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/origin"
)

// mixed is an origin that does what a path says.
func mixed(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	switch r.URL.Path {
	case "/hints":
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body") // over HTTP/2 it has a length all the same
		w.Header().Set("X-Sum", "1")
	case "/trailers":
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d", len(r.Trailer))
		_ = rc.Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "2") // unannounced
	case "/upper":
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(bytes.ToUpper(b))
	case "/duplex":
		_ = rc.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = rc.Flush()
		for b := make([]byte, 1); ; {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			_, _ = w.Write(bytes.ToUpper(b))
			_ = rc.Flush()
		}
	default:
		http.ServeContent(w, r, "x.bin", time.Unix(1e9, 0), strings.NewReader("0123456789"))
	}
}

// A mixedClient speaks one version of HTTP.
type mixedClient struct {
	*rig
	t  *testing.T
	h2 bool
	tr *http.Transport
}

func (r *rig) mixed(t *testing.T, h2 bool) *mixedClient {
	next := "http/1.1"
	if h2 {
		next = "h2"
	}
	wait := time.Minute
	if h2 {
		wait = time.Second // where an answer begins before its request is read, nobody may be told to go on
	}
	tr := &http.Transport{ForceAttemptHTTP2: h2, ExpectContinueTimeout: wait, DialTLSContext: func(_ context.Context, _, at string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(at)
		return r.tls(host, &tls.Config{NextProtos: []string{next}})
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &mixedClient{r, t, h2, tr}
}

// do sends a request, and returns the answer without its body, and what came before it.
func (c *mixedClient) do(method, target string, head http.Header, body io.Reader) (*http.Response, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	c.t.Cleanup(cancel)
	var hints atomic.Value
	hints.Store("")
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints.Store(fmt.Sprint(hints.Load(), code, h.Get("Link"), " "))
		return nil
	}})
	host, path, _ := strings.Cut(target, "/")
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.at(host)+"/"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if head != nil {
		req.Header = head
	}
	if body != nil && path == "trailers" {
		req.Trailer = http.Header{"X-Mine": {"1"}}
	}
	resp, err := c.tr.RoundTrip(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	if (resp.ProtoMajor == 2) != c.h2 {
		c.t.Errorf("%s %s: %s", method, target, resp.Proto)
	}
	return resp, hints.Load().(string)
}

// ask is do with the body.
func (c *mixedClient) ask(method, target string, head http.Header, body io.Reader) (*http.Response, string, string) {
	c.t.Helper()
	resp, hints := c.do(method, target, head, body)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, target, err)
	}
	_ = resp.Body.Close()
	return resp, string(b), hints
}

// A lateBody knows whether it was read.
type lateBody struct {
	io.Reader
	read atomic.Bool
}

func (b *lateBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.Reader.Read(p)
}

// Whatever HTTP each side speaks: hints come before the answer and trailers behind it,
// parts are parts, HEAD has a length and no body, who waits to be told to go on is told,
// and an answer begins and goes on while its request does.
func TestMixedVersions(t *testing.T) {
	for _, up := range []bool{true, false} {
		r := newRig(t, rigging{policy: "package egress\n\nallow if input.request.path != \"/denied\"\n", origin: origin.Options{HTTP1: !up, Handler: http.HandlerFunc(mixed)}})
		for _, down := range []bool{true, false} {
			t.Run(fmt.Sprintf("client h2=%v origin h2=%v", down, up), func(t *testing.T) {
				c := r.mixed(t, down)
				if resp, b, hints := c.ask("GET", "www.example.com/hints", nil, nil); hints != "103</a.css>; rel=preload " || b != "body" || resp.Trailer.Get("X-Sum") != "1" {
					t.Errorf("hints %q, %q, trailer %v", hints, b, resp.Trailer)
				}
				if resp, b, _ := c.ask("POST", "www.example.com/trailers", nil, io.NopCloser(strings.NewReader("x"))); b != "0" || resp.Trailer.Get("X-Sum") != "2" {
					t.Errorf("%q of the trailer came, back came %v", b, resp.Trailer)
				}
				if resp, b, _ := c.ask("GET", "www.example.com/x", http.Header{"Range": {"bytes=2-4"}}, nil); resp.StatusCode != 206 || b != "234" || resp.Header.Get("Content-Range") != "bytes 2-4/10" {
					t.Errorf("%s %q %v", resp.Status, b, resp.Header)
				}
				if resp, _, _ := c.ask("GET", "www.example.com/x", http.Header{"Range": {"bytes=20-"}}, nil); resp.StatusCode != 416 || resp.Header.Get("Content-Range") != "bytes */10" {
					t.Errorf("%s %v", resp.Status, resp.Header)
				}
				if resp, b, _ := c.ask("HEAD", "www.example.com/x", nil, nil); resp.StatusCode != 200 || b != "" || resp.ContentLength != 10 {
					t.Errorf("HEAD: %s %q %d", resp.Status, b, resp.ContentLength)
				}
				expect := http.Header{"Expect": {"100-continue"}}
				for _, path := range []string{"upper", "duplex"} { // which answers before it reads
					resp, b, hints := c.ask("PUT", "www.example.com/"+path, expect, strings.NewReader("abc"))
					if resp.StatusCode != 200 || b != "ABC" || hints != "100 " && (path == "upper" || !down) {
						t.Errorf("Expect, %s: %s %q %q", path, resp.Status, b, hints)
					}
				}
				body := &lateBody{Reader: strings.NewReader("abc")}
				if resp, b, _ := c.ask("PUT", "www.example.com/denied", expect, body); resp.StatusCode != 403 || body.read.Load() {
					t.Errorf("Expect, refused: %s %q, sent: %v", resp.Status, b, body.read.Load())
				}
				c.duplex("www.example.com", "a", "b", "c")
				c.duplex("api.example.com", "a\n", "bc\n", "\n") // searched for a secret: it comes by lines
			})
		}
	}
}

// duplex sends a body in pieces, and wants each back before the next.
func (c *mixedClient) duplex(host string, pieces ...string) {
	c.t.Helper()
	in, out := io.Pipe()
	defer out.Close()
	resp, _ := c.do("POST", host+"/duplex", nil, in) // its head comes before anything is sent
	for _, p := range pieces {
		_, err := io.WriteString(out, p)
		got := make([]byte, len(p))
		if err == nil {
			_, err = io.ReadFull(resp.Body, got)
		}
		if err != nil || string(got) != strings.ToUpper(p) {
			c.t.Fatalf("%s, %q: %q %v", host, p, got, err)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		c.t.Errorf("%q %v", rest, err)
	}
}
