package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sallyport/origin"
)

// breaks answers with some of an answer, the more of which never comes unless the
// path is /whole.
func breaks(w http.ResponseWriter, r *http.Request) {
	if t := r.Header.Get("Content-Type"); t == "application/grpc" {
		w.Header().Set("Content-Type", t)
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(make([]byte, 5)) // an empty message
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == "/at/once" {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil { // HTTP/2 has no such way
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nff\r\nnot all of it", len(soFar), soFar)
			_ = c.Close()
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain")
	switch r.URL.Path {
	case "/length", "/length/reset", "/length/most":
		w.Header().Set("Content-Length", "100000")
	}
	_, _ = io.WriteString(w, soFar)
	if r.URL.Path == "/length/most" { // all but a byte
		_, _ = w.Write(bytes.Repeat([]byte("\n"), 99999-len(soFar)))
	}
	_ = http.NewResponseController(w).Flush()
	switch r.URL.Path {
	case "/whole":
		return
	case "/chunk", "/reset", "/length/reset":
		c, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // HTTP/2 has no other way
		}
		defer c.Close()
		if r.URL.Path == "/chunk" { // in the middle of one
			_, _ = out.WriteString("ff\r\nnot all of it")
			_ = out.Flush()
			return
		}
		time.Sleep(20 * time.Millisecond) // what came is read before
		for tc, ok := c.(interface{ NetConn() net.Conn }); ok; tc, ok = c.(interface{ NetConn() net.Conn }) {
			c = tc.NetConn()
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	default:
		panic(http.ErrAbortHandler)
	}
}

const soFar = "all that came so far\n"

// hostile 335: an answer that breaks off at its origin breaks off at its client, whichever version
// of HTTP either speaks: in chunks and with a length, ended as TCP ends or reset, also
// where it is searched. One that is whole is whole.
func TestBrokenAnswersLookBroken(t *testing.T) {
	versions := map[string]spoken{"h1": {tls: true}, "h2": {h2: true, tls: true}, "plain h1": {}, "h2c": {h2: true}}
	for at, o := range map[string]origin.Options{"h2": {H2C: true}, "h1": {HTTP1: true}} {
		t.Run("from "+at, func(t *testing.T) {
			o.Handler = http.HandlerFunc(breaks)
			s, direct, through := bothWays(t, o)
			for name, v := range versions {
				if v.h2 && !v.tls && o.HTTP1 { // is refused
					continue
				}
				for _, host := range []string{"other.example.com", "api.example.com"} {
					for _, path := range []string{"/whole", "/chunks", "/chunk", "/at/once", "/reset", "/length", "/length/reset", "/length/most"} {
						url := s.http(host, path)
						if v.tls {
							url = s.https(host, path)
						}
						got, err := read(t.Context(), through.client(t, v, false), url)
						if (err == nil) != (path == "/whole") {
							t.Errorf("%s, %s%s: %q ended by %v", name, host, path, tail(got), err)
						}
						if !strings.HasPrefix(string(got), soFar) && !strings.HasSuffix(path, "reset") { // which may overtake it
							t.Errorf("%s, %s%s: what came before it broke was %q", name, host, path, tail(got))
						}
						if v.h2 && !o.HTTP1 || name == "h1" && o.HTTP1 { // it breaks the same way directly
							if _, err := read(t.Context(), direct.client(t, v, false), url); (err == nil) != (path == "/whole") {
								t.Errorf("%s, %s directly: %v", name, path, err)
							}
						}
					}
				}
			}
			if !o.HTTP1 {
				brokenCalls(t, s, direct, through)
			}
			s.stop()
			broken, whole := 0, 0
			for _, e := range s.find(map[string]string{"event.name": "egress.request.complete"}) {
				switch e.Str("event.outcome") {
				case "failure":
					broken++
				case "success":
					whole++
				}
			}
			t.Logf("%d broke, %d were whole", broken, whole)
			if whole == 0 || broken < 6*whole {
				t.Errorf("recorded were %d that broke, %d that were whole", broken, whole)
			}
		})
	}
}

// brokenCalls holds that a call of gRPC that breaks off fails, after its message.
func brokenCalls(t *testing.T, s *side, ways ...*reached) {
	t.Helper()
	for _, w := range ways {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		hear, err := w.hearer(t, s.place, "application/grpc")(ctx, "Broken")
		if err == nil {
			_, err = hear()
		}
		if err != nil {
			t.Errorf("gRPC, %s: before it broke: %v", w.name, err)
		}
		if _, err = hear(); err == nil || errors.Is(err, io.EOF) || status.Code(err) != codes.Internal {
			t.Errorf("gRPC, %s: it ended by %v", w.name, err)
		}
		cancel()
	}
}

// read is all of an answer, and how it ended.
func read(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	defer client.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // it was not seen as broken
	}
	return b, err
}

// tail is the end of a text.
func tail(b []byte) []byte { return b[max(len(b)-40, 0):] }
