package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load asks when it is told to: for each line of its input, so many requests
// over so many kept connections, and then a line of its own.
func load(t task) error {
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
	for i := range clients { // one connection each, of either version
		clients[i] = &http.Client{Timeout: time.Minute, Transport: &http.Transport{Protocols: p, DisableCompression: true, MaxIdleConnsPerHost: 1, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var left atomic.Int64
		left.Store(int64(t.Requests))
		var mu sync.Mutex
		var errs []error
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := ask(c, t.URL); err != nil {
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		wg.Wait()
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		fmt.Println("done")
	}
	return in.Err()
}

func ask(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || len(b) != 1024 {
		return fmt.Errorf("%s: %.200s", resp.Status, b)
	}
	return nil
}
