package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// recordFloods are what a client sends in TLS again and again, that carries nothing.
var recordFloods = map[string]func(c *tlsClient, out []byte) []byte{
	"new keys":              func(c *tlsClient, out []byte) []byte { return c.update(out, 0) },
	"new keys on both ends": func(c *tlsClient, out []byte) []byte { return c.update(out, 1) },
	"empty records":         func(c *tlsClient, out []byte) []byte { return c.record(out, tlsData, nil, 0) },
	"padding":               func(c *tlsClient, out []byte) []byte { return c.record(out, tlsData, nil, 2000) },
	"alerts":                func(c *tlsClient, out []byte) []byte { return c.record(out, tlsAlert, []byte{1, 90}, 0) },
	"changes of ciphers":    func(_ *tlsClient, out []byte) []byte { return append(out, 20, 3, 3, 0, 1, 1) },
}

// hostile 45: records of TLS that carry nothing, with a byte of data before crypto/tls has
// had enough of them, end their connection. Meanwhile another sandbox is served.
func TestRecordFloods(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	var took atomic.Int64
	p := newPlace(t, callers()[0], origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		took.Store(n)
		fmt.Fprint(w, "took ", n)
	})})
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	box, other := s.boxed(client, "floods", "strict"), s.boxed(client, "other", "strict")
	head := func(host string, size int) string {
		return fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", host, size)
	}
	served := func() time.Duration {
		t.Helper()
		began := time.Now()
		if got := p.talk(t, other.ns, other.addr.String(), head(fmt.Sprintf("api.example.com:%d", p.origin.PlainPort), 0)); !strings.HasSuffix(got, "took 0") {
			t.Errorf("another sandbox: %q", got)
		}
		return time.Since(began)
	}
	dial := func() net.Conn {
		t.Helper()
		cs, err := box.dial(t, p.origin.TLSPort, 1)
		if err != nil {
			t.Fatal(err)
		}
		_ = cs[0].SetDeadline(time.Now().Add(time.Minute))
		return cs[0]
	}
	open := func(alpn string) *tlsClient {
		t.Helper()
		c, err := dialTLS(t.Context(), dial(), "api.example.com", alpn)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// What carries a byte is no flood, however much of it there is.
	c := open("http/1.1")
	out := c.record(nil, tlsData, []byte(head(p.at("api.example.com"), 20_000)), 0)
	for i := range 20_000 {
		if i%1000 == 0 {
			out = c.update(out, 1)
		}
		out = c.record(out, tlsData, []byte("x"), 0)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	before := s.cpu()
	began := time.Now()
	if _, err := io.Copy(io.Discard, c.Conn); err != nil {
		t.Errorf("small records: %v", err)
	}
	if took.Load() != 20_000 || len(p.find(map[string]string{"policy.code": "tls_flood"})) > 0 {
		t.Errorf("of 20,000 small records %d passed", took.Load())
	}
	t.Logf("20,000 records of a byte: %v of CPU in %v", s.cpu()-before, time.Since(began))
	var worst time.Duration
	for name, add := range recordFloods {
		for _, alpn := range []string{"http/1.1", "h2"} {
			c := open(alpn)
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, c.Conn)
				ended <- err
			}()
			out, data := []byte(nil), []byte(head(p.at("api.example.com"), 1<<20))
			if alpn == "h2" {
				data = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			}
			before, sent, gone := s.cpu(), 0, false
			for ; sent < 30_000 && !gone; sent += 14 {
				if len(data) > 0 {
					out, data = c.record(out, tlsData, data, 0), nil
				} else if alpn == "h2" { // of a frame without end, that nobody knows
					out = c.record(out, tlsData, []byte{0, 0, 0, 0x42, 0, 0, 0, 0, 0}, 0)
				} else {
					out = c.record(out, tlsData, []byte("x"), 0)
				}
				for range 14 {
					out = add(c, out)
				}
				if len(out) > 16000 {
					_, err := c.Write(out)
					out, gone = out[:0], err != nil
				}
			}
			if !gone {
				select {
				case <-ended:
				case <-time.After(20 * time.Second):
					t.Fatalf("%s over %s go on", name, alpn)
				}
			}
			t.Logf("%s over %s: ended when %d were sent, %v of CPU", name, alpn, sent, s.cpu()-before)
			worst = max(worst, served())
			_ = c.Close()
			time.Sleep(50 * time.Millisecond)
		}
	}
	if worst > 5*time.Second {
		t.Errorf("another sandbox waited for %v", worst)
	}
	if got := p.find(map[string]string{"policy.code": "tls_flood", "sandbox.name": "floods"}); len(got) == 0 {
		t.Error("no record says so")
	}
	// A first message in records of a byte each.
	hello := make([]byte, 0, 4000)
	mine, theirs := net.Pipe()
	go func() {
		_ = tls.Client(mine, &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com", NextProtos: []string{"http/1.1", strings.Repeat("x", 200), strings.Repeat("y", 200)}}).Handshake() //nolint:gosec // nobody answers
	}()
	hello = hello[:cap(hello)]
	n, err := theirs.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	out = nil
	for _, b := range hello[5:n] {
		out = append(out, tlsHandshake, 3, 1, 0, 1, b)
	}
	cs, err := other.dial(t, p.origin.TLSPort, 1)
	if err != nil {
		t.Fatal(err)
	}
	_ = cs[0].SetDeadline(time.Now().Add(5 * time.Second)) // a handshake may take 10
	_, _ = cs[0].Write(out)
	_, err = io.Copy(io.Discard, cs[0])
	told := func() bool {
		return len(p.find(map[string]string{"policy.code": "tls_flood", "sandbox.name": "other"})) > 0
	}
	for wait := time.Now(); !told() && time.Since(wait) < 5*time.Second; { // nobody waits for the record
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || !told() {
		t.Errorf("a first message in %d records: %v", n-5, err)
	}
	_ = cs[0].Close()
	box.end()
	other.end()
	s.stop()
}
