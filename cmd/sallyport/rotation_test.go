package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/origin"
	"sallyport/origin/world"
)

// A truster is a client in Go, told of an explicit proxy, that trusts one CA.
type truster struct {
	t      *testing.T
	socket string
	to     string // host and port
	cfg    *tls.Config
}

// dial opens TLS through the proxy, with HTTP/2 if that is offered.
func (c *truster) dial(ctx context.Context, protocols ...string) (*tls.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(raw, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", c.to)
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(raw, 1<<10)), nil) // nothing comes behind it before the hello
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.Join(err, raw.Close())
	}
	cfg := c.cfg.Clone()
	cfg.NextProtos = protocols
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// get asks for /echo and returns whether the session was resumed.
func (c *truster) get(tls12 bool) (bool, error) {
	c.t.Helper()
	d := *c
	if tls12 {
		d.cfg = c.cfg.Clone()
		d.cfg.MaxVersion = tls.VersionTLS12
	}
	conn, err := d.dial(c.t.Context(), "http/1.1")
	if err != nil {
		return false, err
	}
	defer conn.Close()
	return conn.ConnectionState().DidResume, ask(conn, c.to)
}

// ask sends one request of HTTP/1.1 and reads the answer.
func ask(conn net.Conn, host string) error {
	fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), `"Method":"GET"`) {
		return fmt.Errorf("%s%w", b, err)
	}
	return nil
}

// Rotations and restarts leave open connections alone as long as the sidecar
// runs, and HTTP/2 and resumed sessions work before, between and after; who
// trusts the first CA is served through all of it.
func TestRotationKeepsConnections(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	sock := filepath.Join(filepath.Dir(p.dir), "run", "proxy.sock")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - name: told\n    explicit: {socket: %s, user: %d}\n", sock, os.Getuid()))
	client := func() *truster {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(s.ca("export").stdout)) {
			t.Fatal("no CA")
		}
		return &truster{t: t, socket: sock, to: p.at("api.example.com"), cfg: &tls.Config{RootCAs: roots, ServerName: "api.example.com", ClientSessionCache: tls.NewLRUClientSessionCache(0)}}
	}
	sessions := func(who string, c *truster) {
		t.Helper()
		for _, old := range []bool{false, true} {
			c.cfg.ClientSessionCache.Put("api.example.com", nil)
			for n := range 3 {
				resumed, err := c.get(old)
				if err != nil || resumed != (n > 0) {
					t.Errorf("%s, TLS 1.2 %v, connection %d: resumed %v, %v", who, old, n, resumed, err)
				}
			}
		}
	}
	first := client()
	sessions("first", first)
	// One connection of each protocol stays open over the rotations.
	open, err := first.dial(t.Context(), "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	dials := 0
	h2 := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials++
		return first.dial(ctx, "h2")
	}}}
	defer h2.CloseIdleConnections()
	live := func(when string) {
		t.Helper()
		if err := ask(open, first.to); err != nil {
			t.Errorf("%s, HTTP/1.1: %v", when, err)
		}
		resp, err := h2.Get("https://" + first.to + "/echo")
		if err != nil {
			t.Fatalf("%s, HTTP/2: %v", when, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || dials != 1 {
			t.Errorf("%s: %s %s on connection %d", when, resp.Proto, resp.Status, dials)
		}
	}
	live("before")
	for n := range 2 {
		// A session of before the rotation is not resumed, and nothing else comes of it.
		if _, err := first.get(false); err != nil {
			t.Fatal(err)
		}
		s.ca("rotate")
		live(fmt.Sprintf("after rotation %d", n+1))
		if resumed, err := first.get(false); err != nil || resumed {
			t.Errorf("a session of the CA before: resumed %v, %v", resumed, err)
		}
		sessions(fmt.Sprintf("first after rotation %d", n+1), first)
	}
	third := client()
	sessions("third", third)
	s.stop()
	s.begin()
	sessions("first after a restart", first)
	sessions("third after a restart", third)
	s.ca("rotate")
	sessions("first after a restart and another rotation", first)
	sessions("fourth", client())
	s.stop()
}

// At full traffic no connection fails because of a rotation, neither of those who
// trust the first CA nor of those who trust a later one.
func TestRotationUnderTraffic(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	sock := filepath.Join(filepath.Dir(p.dir), "run", "proxy.sock")
	s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - name: told\n    explicit: {socket: %s, user: %d}\n", sock, os.Getuid()))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var done, failed atomic.Int64
	traffic := func() {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(s.ca("export").stdout))
		for n := range 3 {
			name := []string{"api.example.com", "other.example.com", "api.example.com"}[n]
			c := &truster{t: t, socket: sock, to: p.at(name), cfg: &tls.Config{RootCAs: roots, ServerName: name}}
			if n > 0 {
				c.cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			}
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := c.get(n == 2); err != nil {
						failed.Add(1)
						t.Errorf("%s: %v", name, err)
						return
					}
					done.Add(1)
				}
			})
		}
	}
	traffic()
	for range 4 {
		before := done.Load()
		for range 1000 {
			if done.Load() > before+30 || failed.Load() > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		s.ca("rotate")
		traffic()
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	wg.Wait()
	t.Logf("%d connections", done.Load())
	if done.Load() < 150 {
		t.Errorf("only %d connections were made", done.Load())
	}
	s.stop()
}

// A rotation that cannot be recorded does not happen.
func TestRotationIsRecorded(t *testing.T) {
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	world.Disk(t, p.log, "4m")
	s := p.sidecar(t, "")
	fill, err := os.Create(filepath.Join(p.log, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1 << 16; n > 0; { // to the last byte
		if _, err := fill.Write(make([]byte, n)); err != nil {
			n /= 16
		}
	}
	_ = fill.Close()
	key := filepath.Join(filepath.Dir(p.dir), "state", "ca", "ca.key")
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	exported := s.ca("export").stdout
	refused, said := 0, ""
	for range 20 { // the last page may take some records yet
		out := p.exec("ca", "rotate", "--force", "--control", s.control)
		if said = out.stderr; out.code != 0 && strings.Contains(said, "no space left on device") {
			refused++
			break
		}
		if before, err = os.ReadFile(key); err != nil {
			t.Fatal(err)
		}
		exported = s.ca("export").stdout
	}
	after, err := os.ReadFile(key)
	if err != nil || refused == 0 || string(after) != string(before) || s.ca("export").stdout != exported {
		t.Errorf("without a record: refused %d times, the key is another: %v, %v\n%s%s", refused, string(after) != string(before), err, said, s.b.out)
	}
	_ = os.Remove(fill.Name())
	s.ca("rotate", "--force")
	s.stop()
}
