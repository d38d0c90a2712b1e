package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/origin"
)

// A pouring origin answers with as many bytes as anybody takes, and counts what it
// could hand over.
type pouring struct{ handed atomic.Int64 }

// ServeHTTP pours until the client has enough.
func (o *pouring) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/short" {
		fmt.Fprintln(w, "short")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	for b := bytes.Repeat([]byte("pour"), 4<<10); ; {
		n, err := w.Write(b)
		o.handed.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// memory is what the sidecar has now and had at most, in KiB.
func (s *side) memory() (rss, peak int) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.b.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			rss, _ = strconv.Atoi(f[1])
		} else if len(f) > 1 && f[0] == "VmHWM:" {
			peak, _ = strconv.Atoi(f[1])
		}
	}
	return rss, peak
}

// afresh has the most that the sidecar has counted anew, and returns what it has, in KiB.
func (s *side) afresh() int {
	s.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.b.cmd.Process.Pid), []byte("5"), 0); err != nil {
		s.t.Log(err) // the most until now counts as well then
	}
	rss, _ := s.memory()
	return rss
}

// hostile 332, 333: downloads over HTTP/2 whose client reads slowly, or not at all.
// What is read of the upstream ahead of the client is what windows allow, so is what
// memory that takes, and other requests pass beside them.
func TestSlowReaders(t *testing.T) {
	const (
		streams = 116
		window  = 64 << 10                              // of the client, for each stream
		ahead   = streams * (256<<10 + window + 64<<10) // with what is being written
		most    = 128 << 10                             // KiB that it may grow; the windows are 29 MiB of it
	)
	o := &pouring{}
	s, _, through := bothWays(t, origin.Options{Handler: o})
	for _, c := range [][2]string{{"as they are", "other.example.com"}, {"searched", "api.example.com"}} {
		host := c[1]
		client := through.client(t, spoken{h2: true, tls: true}, false)
		client.Timeout = time.Minute
		get := func(path string) io.ReadCloser {
			t.Helper()
			resp, err := client.Get(s.https(host, path))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			return resp.Body
		}
		_ = get("/short").Close()
		before := s.afresh()
		o.handed.Store(0)
		bodies := make([]io.ReadCloser, streams)
		for i := range bodies {
			bodies[i] = get("/")
			defer bodies[i].Close()
		}
		for last := int64(-1); o.handed.Load() != last; time.Sleep(300 * time.Millisecond) {
			last = o.handed.Load()
		}
		stalled := o.handed.Load()
		beside := make(chan error, 1)
		go func() {
			resp, err := client.Get(s.https(host, "/short"))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			beside <- err
		}()
		select {
		case err := <-beside:
			if err != nil {
				t.Errorf("%s: beside them: %v", c[0], err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nothing passes beside them", c[0])
		}
		var wg sync.WaitGroup
		var read atomic.Int64
		for _, b := range bodies {
			wg.Go(func() {
				for range 20 {
					n, err := io.ReadFull(b, make([]byte, 16<<10))
					read.Add(int64(n))
					if err != nil {
						t.Errorf("%s: %v", c[0], err)
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		slow := o.handed.Load() - read.Load()
		_, peak := s.memory()
		t.Logf("%d downloads, %s: the origin is %d KiB ahead of a client that does not read, %d KiB of one that read %d KiB slowly; memory grew by %d KiB at most, from %d",
			streams, c[0], stalled>>10, slow>>10, read.Load()>>10, peak-before, before)
		if max(stalled, slow) > ahead {
			t.Errorf("%s: %d KiB are the most", c[0], ahead>>10)
		}
		if peak-before > most {
			t.Errorf("%s: %d KiB of memory are the most", c[0], most)
		}
		client.CloseIdleConnections()
	}
}

// cpu is the time that the sidecar has calculated for, to a hundredth of a second.
func (s *side) cpu() time.Duration {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.b.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
