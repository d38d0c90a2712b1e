package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/origin"
)

// hostile 332: uploads over HTTP/2 that the origin does not take hold up nothing that
// is sent beside them on the same connection.
func TestStalledUploads(t *testing.T) {
	over := make(chan struct{})
	r := newRig(t, rigging{origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stall" {
			<-over
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})}})
	defer close(over)
	client := r.client(t, true)
	client.Transport.(*http.Transport).DisableKeepAlives = false
	post := func(path string, body io.Reader) (string, error) {
		resp, err := client.Post("https://"+r.at("api.example.com")+path, "text/plain", body)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	if _, err := post("/", strings.NewReader("first")); err != nil { // the connection that all use
		t.Fatal(err)
	}
	sent := new(neverEnding)
	for range 8 {
		go func() { _, _ = post("/stall", sent) }()
	}
	for last := int64(-1); sent.n.Load() != last; time.Sleep(300 * time.Millisecond) {
		last = sent.n.Load()
	}
	if got, err := post("/", strings.NewReader(strings.Repeat("beside", 10_000))); err != nil || len(got) != 60_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A neverEnding body has always more. It counts what is taken.
type neverEnding struct{ n atomic.Int64 }

// Read fills p.
func (b *neverEnding) Read(p []byte) (int, error) {
	b.n.Add(int64(len(p)))
	return len(p), nil
}
