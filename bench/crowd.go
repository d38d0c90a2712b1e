package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A crowd asks through an explicit proxy when it is told to: for each line of its
// input a round, and then a line of its own: how long it took, and the 99th
// percentile of what was delayed, in nanoseconds.
func crowd(t task) error {
	roots := x509.NewCertPool()
	for f := range strings.SplitSeq(t.CA, ",") {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		roots.AppendCertsFromPEM(b)
	}
	p := new(http.Protocols)
	p.SetHTTP1(!t.H2)
	p.SetHTTP2(t.H2)
	clients := make([]*http.Client, t.Conns)
	for i := range clients { // one connection each
		clients[i] = &http.Client{Timeout: time.Minute, Transport: &http.Transport{Protocols: p, DisableCompression: true, MaxIdleConnsPerHost: 1, DisableKeepAlives: t.Kind == "new",
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: t.Proxy}), TLSClientConfig: &tls.Config{RootCAs: roots}}}
	}
	if err := each(clients, 1, func(c *http.Client) ([]time.Duration, error) { return nil, ask(c, t.URL) }).err; err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		begin := time.Now()
		r := each(clients, t.Requests, func(c *http.Client) ([]time.Duration, error) { return errand(c, t) })
		took := time.Since(begin)
		if r.err != nil {
			return r.err
		}
		slices.Sort(r.delays)
		p99 := time.Duration(0)
		if n := len(r.delays); n > 0 {
			p99 = r.delays[n*99/100]
		}
		fmt.Println(int64(took), int64(p99))
	}
	return in.Err()
}

// errands of a crowd, by kind; each is one of so many requests.
func errand(c *http.Client, t task) ([]time.Duration, error) {
	base := strings.TrimSuffix(t.URL, "/")
	switch t.Kind {
	case "large", "tunnel":
		return nil, download(c, base+"/large?n=16", 16<<20)
	case "events":
		return events(c, base+"/events?n=50")
	case "messages":
		return nil, messages(c, base+"/bench.Echo/Talk", messagesEach)
	}
	return nil, ask(c, t.URL)
}

type errands struct {
	delays []time.Duration
	err    error
}

// each lets all clients do something, n times together.
func each(clients []*http.Client, n int, do func(*http.Client) ([]time.Duration, error)) (out errands) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	n = max(n, len(clients))
	for i, c := range clients {
		wg.Go(func() {
			for range n/len(clients) + min(1, max(0, n%len(clients)-i)) {
				d, err := do(c)
				mu.Lock()
				out.delays = append(out.delays, d...)
				out.err = errors.Join(out.err, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return out
}

func download(c *http.Client, url string, size int64) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (n != size || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s: %d bytes", resp.Status, n)
	}
	return err
}

// events reads a stream, and says how late each event was.
func events(c *http.Client, url string) (late []time.Duration, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		if s, ok := strings.CutPrefix(in.Text(), "data: "); ok {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, err
			}
			late = append(late, time.Since(time.Unix(0, n)))
		}
	}
	if len(late) != 50 {
		return nil, fmt.Errorf("%s: %d events of 50", resp.Status, len(late))
	}
	return late, in.Err()
}

// messagesEach is how many messages go there and back on one stream.
const messagesEach = 200

// messages sends one message after the other on a stream of gRPC, each when the
// one before has come back.
func messages(c *http.Client, url string, n int) error {
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequest(http.MethodPost, url, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if s := resp.Header.Get("Grpc-Status"); s != "" || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: grpc-status %q: %s", resp.Status, s, resp.Header.Get("Grpc-Message"))
	}
	m := binary.BigEndian.AppendUint32([]byte{0}, 100)
	m = append(m, bytes.Repeat([]byte("m"), 100)...)
	for range n {
		if _, err := w.Write(m); err != nil {
			return err
		}
		if back, err := message(resp.Body); err != nil || !bytes.Equal(back, m) {
			return fmt.Errorf("%s: %d bytes came back: %w", resp.Status, len(back), err)
		}
	}
	_ = w.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if s := resp.Trailer.Get("Grpc-Status"); err == nil && s != "0" {
		err = fmt.Errorf("grpc-status %q", s)
	}
	return err
}
