package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"testing"
	"time"

	"sallyport/origin"
)

// A forsaken is an emitter that tells when who listened has gone, and how an upload
// ended that was given up.
type forsaken struct {
	*emitter
	gone chan error
}

// ServeHTTP answers until nobody is there.
func (f *forsaken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Base(r.URL.Path) == "upload" {
		f.gone <- nil // it has begun
		_, err := io.Copy(io.Discard, r.Body)
		f.gone <- err
		return
	}
	f.emitter.ServeHTTP(w, r)
	f.gone <- r.Context().Err()
}

// left waits until somebody has gone at the origin.
func (f *forsaken) left(ctx context.Context) error {
	select {
	case err := <-f.gone:
		return err
	case <-ctx.Done():
		return errors.New("the origin is not told")
	}
}

// hostile 335: what a client gives up is given up at its origin, as soon as it would be directly, to
// 10 ms in half of all cases: events over HTTP/1 and HTTP/2, calls, WebSockets, and
// uploads, which do not look whole there.
func TestGivenUp(t *testing.T) {
	f := &forsaken{&emitter{base: time.Now(), now: map[string]chan struct{}{"stay": make(chan struct{})}}, make(chan error, 8)}
	s, direct, through := bothWays(t, origin.Options{Handler: f})
	soon := bar{50, 10 * time.Millisecond}
	times, limit := 41, 2*time.Minute
	if os.Getenv("SALLYPORT_SOAK") != "" {
		times, limit = 2000, 30*time.Minute
	}
	all, done := context.WithTimeout(t.Context(), limit)
	defer done()
	for _, kind := range []string{"text/event-stream", "application/x-ndjson", "application/grpc", "websocket"} {
		var ways []timed
		for _, w := range []*reached{direct, through} {
			open := w.hearer(t, s.place, kind)
			ways = append(ways, func() (time.Duration, error) {
				ctx, cancel := context.WithCancel(all)
				defer cancel()
				hear, err := open(ctx, "stay")
				if err != nil {
					return 0, err
				}
				select {
				case f.now["stay"] <- struct{}{}:
				case <-all.Done():
					return 0, all.Err()
				}
				if _, err := hear(); err != nil {
					return 0, err
				}
				begun := time.Now()
				cancel()
				_ = f.left(all)
				return time.Since(begun), all.Err()
			})
		}
		s.compare(t, kind+", given up", soon, times, ways[0], ways[1])
	}
	for _, v := range []spoken{{tls: true}, {tls: true, h2: true}} {
		var ways []timed
		for _, w := range []*reached{direct, through} {
			client := w.client(t, v, true)
			ways = append(ways, func() (time.Duration, error) { return f.upload(all, client, s.https("api.example.com", "/upload")) })
		}
		s.compare(t, fmt.Sprintf("upload over HTTP/%d, given up", map[bool]int{true: 2, false: 1}[v.h2]), soon, times, ways[0], ways[1])
	}
	s.stop()
}

// upload begins to send something and gives it up.
func (f *forsaken) upload(all context.Context, client *http.Client, url string) (time.Duration, error) {
	ctx, cancel := context.WithCancel(all)
	defer cancel()
	body, more := io.Pipe()
	defer func() { _ = more.CloseWithError(io.ErrClosedPipe) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return 0, err
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	go func() { _, _ = more.Write(make([]byte, 256<<10)) }() // more than the client keeps
	if err := f.left(all); err != nil {
		return 0, err
	}
	begun := time.Now()
	cancel()
	err = f.left(all)
	took := time.Since(begun)
	_ = more.CloseWithError(io.ErrClosedPipe) // which its reader waits for
	<-over
	if err == nil {
		return 0, errors.New("what was given up looked whole")
	}
	return took, all.Err()
}
