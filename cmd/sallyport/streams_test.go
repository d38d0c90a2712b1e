package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// A reached is the origin as somebody reaches it: directly, or from inside a sandbox.
type reached struct {
	name  string
	roots *x509.CertPool
	dial  func(host string, port int) (net.Conn, error)
}

const streamsPolicy = `package egress

allow := true

websocket := true

credentials contains "api" if {
	input.destination.host == "api.example.com"
	input.destination.scheme == "https"
}
`

// bothWays starts a sidecar and returns both ways to the origin, in this process. The
// answers of api.example.com are searched for a credential, those of other.example.com
// are not. What the test starts has to be started by its own goroutine.
func bothWays(t *testing.T, o origin.Options) (s *side, direct, through *reached) {
	t.Helper()
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	t.Cleanup(runtime.UnlockOSThread)
	p := newPlace(t, callers()[0], o)
	s = p.sidecar(t, "")
	base := filepath.Dir(p.dir)
	dir, sock := filepath.Join(base, "policies", "streams"), filepath.Join(base, "run", "proxy.sock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte(streamsPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	s.anew(t, func(text string) string {
		text = strings.Replace(text, "policies:\n", "policies:\n  - {name: streams, dir: policies/streams}\n", 1)
		return text + fmt.Sprintf("sandboxes: [{name: told, policy: [streams], explicit: {socket: %s, user: %d}}]\n", sock, os.Getuid())
	})
	client := admin.NewClient(s.control)
	st, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outside, in := x509.NewCertPool(), x509.NewCertPool()
	outside.AppendCertsFromPEM(p.origin.CAPEM())
	in.AppendCertsFromPEM([]byte(st.CA))
	direct = &reached{name: "direct", roots: outside, dial: func(_ string, port int) (net.Conn, error) {
		return net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 10*time.Second)
	}}
	through = &reached{name: "through", roots: in, dial: func(host string, port int) (net.Conn, error) { return connected(sock, host, port) }}
	if os.Getuid() == 0 { // who can seal a namespace is in one
		b := s.boxed(client, "box", "streams")
		t.Cleanup(b.end)
		var mu sync.Mutex
		addrs := map[string]netip.Addr{"api.example.com": b.addr}
		through.dial = func(host string, port int) (c net.Conn, err error) {
			mu.Lock()
			defer mu.Unlock()
			if !addrs[host].IsValid() {
				if addrs[host], err = b.look(t, host); err != nil {
					return nil, err
				}
			}
			inside(t, b.ns, func() {
				c, err = net.DialTimeout("tcp", netip.AddrPortFrom(addrs[host], uint16(port)).String(), 10*time.Second)
			})
			return c, err
		}
	}
	return s, direct, through
}

// connected opens a connection through the proxy at a Unix socket.
func connected(sock, host string, port int) (net.Conn, error) {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %[1]s:%[2]d HTTP/1.1\r\nHost: %[1]s:%[2]d\r\n\r\n", host, port)
	head := make([]byte, 0, 256)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		b := make([]byte, 1) // what follows the head is not ours to read
		if _, err := c.Read(b); err != nil {
			return nil, err
		}
		head = append(head, b[0])
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 200 ") {
		return nil, fmt.Errorf("%s", head)
	}
	return c, nil
}

// trust are the settings of TLS to a host.
func (r *reached) trust(host string, protos ...string) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: r.roots, NextProtos: protos}
}

// tls opens TLS to a host.
func (r *reached) tls(host string, port int, protos ...string) (*tls.Conn, error) {
	raw, err := r.dial(host, port)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, r.trust(host, protos...))
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.Handshake(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, c.SetDeadline(time.Time{})
}

// A spoken is a version of HTTP, with TLS or without.
type spoken struct{ h2, tls bool }

// client speaks one version of HTTP. The windows of HTTP/2 are as small as they may be
// unless it is to be quick.
func (r *reached) client(t testing.TB, v spoken, quick bool) *http.Client {
	t.Helper()
	dial := func(network string) func(context.Context, string, string) (net.Conn, error) {
		return func(_ context.Context, _, addr string) (net.Conn, error) {
			host, ps, _ := net.SplitHostPort(addr)
			port, _ := strconv.Atoi(ps)
			switch {
			case network == "tcp":
				return r.dial(host, port)
			case v.h2:
				return r.tls(host, port, "h2")
			}
			return r.tls(host, port, "http/1.1")
		}
	}
	ps := new(http.Protocols)
	ps.SetHTTP1(!v.h2)
	ps.SetHTTP2(v.h2 && v.tls)
	ps.SetUnencryptedHTTP2(v.h2 && !v.tls)
	tr := &http.Transport{Protocols: ps, DisableCompression: true, DialContext: dial("tcp"), DialTLSContext: dial("tls"), WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	if !quick {
		tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 8 << 20}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
