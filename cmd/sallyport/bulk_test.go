package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"sallyport/origin"
)

// A filling is what large bodies repeat.
type filling []byte

func newFilling() filling {
	b, r := make(filling, 1<<20), rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// from is a body of so many bytes.
func (b filling) from(n int64) io.Reader { return io.LimitReader(&repeated{b: b}, n) }

// A repeated is a filling without end; what is written to it has to be the same.
type repeated struct {
	b  filling
	at int64
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.at%int64(len(r.b)):])
	r.at += int64(n)
	return n, nil
}

func (r *repeated) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		want := r.b[r.at%int64(len(r.b)):]
		want = want[:min(len(want), len(p)-done)]
		if !bytes.Equal(p[done:done+len(want)], want) {
			return done, fmt.Errorf("bytes differ after %d", r.at)
		}
		done += len(want)
		r.at += int64(len(want))
	}
	return len(p), nil
}

// ServeHTTP sends as many bytes as ?n= says, or says how many the same ones it got.
func (b filling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n, err := strconv.ParseInt(r.FormValue("n"), 10, 64); err == nil && r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.FormValue("length") != "" {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, b.from(n), make([]byte, 256<<10))
		return
	}
	in := &repeated{b: b}
	_, err := io.CopyBuffer(in, struct{ io.Reader }{r.Body}, make([]byte, 256<<10))
	fmt.Fprint(w, in.at, err)
}

// A bulk is a large body on its way.
type bulk struct {
	name, host string
	v          spoken
	size       int64
	up, length bool
}

// carry sends or gets it, and holds that it is whole.
func (c bulk) carry(ctx context.Context, client *http.Client, url string, b filling) error {
	if !c.up {
		url = fmt.Sprintf("%s?n=%d", url, c.size)
		if c.length {
			url += "&length=1"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		in := &repeated{b: b}
		_, err = io.CopyBuffer(in, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10))
		if in.at != c.size {
			err = errors.Join(err, fmt.Errorf("%s, %d bytes came", resp.Status, in.at))
		}
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, b.from(c.size))
	if err != nil {
		return err
	}
	if c.length {
		req.ContentLength = c.size
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if want := fmt.Sprint(c.size, error(nil)); string(said) != want {
		err = errors.Join(err, fmt.Errorf("%s: %q, not %q", resp.Status, said, want))
	}
	return err
}

// hostile 334: bodies of any size pass in constant memory, up and down, over each version of HTTP,
// with a length and without, also where answers are searched for a credential.
func TestLargeBodies(t *testing.T) {
	if !unraced(t) {
		return
	}
	const most = 64 << 10 // KiB that the sidecar may grow
	size, searched := int64(1)<<30, int64(128)<<20
	if os.Getenv("SALLYPORT_SOAK") != "" {
		size, searched = 10<<30, 10<<30
	}
	b := newFilling()
	s, _, through := bothWays(t, origin.Options{Handler: b})
	for _, c := range []bulk{
		{"down, h1, chunked", "other.example.com", spoken{tls: true}, size, false, false},
		{"down, h2, with a length", "other.example.com", spoken{tls: true, h2: true}, size, false, true},
		{"up, h1, with a length", "other.example.com", spoken{tls: true}, size, true, true},
		{"up, h2, without a length", "other.example.com", spoken{tls: true, h2: true}, size, true, false},
		{"down, h1, searched", "api.example.com", spoken{tls: true}, searched, false, true},
		{"down, h2, searched", "api.example.com", spoken{tls: true, h2: true}, searched, false, false},
		{"up, h2, with a credential", "api.example.com", spoken{tls: true, h2: true}, searched, true, true},
	} {
		client := through.client(t, c.v, true)
		before := s.afresh()
		ctx, cancel := context.WithCancel(t.Context())
		done, begun, peak := make(chan error, 1), time.Now(), before
		go func() { done <- c.carry(ctx, client, s.https(c.host, "/"), b) }()
		for under := true; under; {
			select {
			case err := <-done:
				if under = false; err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			case <-time.After(50 * time.Millisecond):
			}
			if _, peak = s.memory(); peak-before > most {
				cancel() // before others have none
			}
		}
		cancel()
		took := time.Since(begun)
		t.Logf("%s: %d MiB at %.0f MiB/s; %d MiB of memory at most, %d before", c.name, c.size>>20, float64(c.size>>20)/took.Seconds(), peak>>10, before>>10)
		if peak-before > most {
			t.Errorf("%s: memory grew by %d KiB, %d are the most", c.name, peak-before, most)
		}
		client.CloseIdleConnections()
	}
	s.stop()
}
