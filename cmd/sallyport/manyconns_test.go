package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sallyport/admin"
	"sallyport/origin"
	"sallyport/sandbox/netns"
)

// A sealedBox is a sandbox of the test's own, whose connections the test makes.
type sealedBox struct {
	ns   *os.File
	h    *holder
	addr netip.Addr // of api.example.com, as it is told inside
}

// boxed makes a sandbox and asks for a name in it.
func (s *side) boxed(client *admin.Client, name, policy string) *sealedBox {
	s.t.Helper()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatalf("%v\n%s", err, s.b.out)
		}
	}
	b := &sealedBox{ns: bare(s.t)}
	made, err := client.Create(s.t.Context(), admin.Create{Name: name, Way: "attach", Policy: []string{policy}})
	must(err)
	b.h = &holder{socket: made.Ticket.Socket, token: made.Ticket.Token}
	b.h.socks, err = netns.Attach(b.ns)
	must(err)
	_, err = b.h.enrol(s.t.Context())
	must(err)
	b.addr, err = b.look(s.t, "api.example.com")
	must(err)
	return b
}

// look asks for the address of a name.
func (b *sealedBox) look(t testing.TB, name string) (addr netip.Addr, err error) {
	t.Helper()
	var c *mdns.Conn
	inside(t, b.ns, func() { c, err = mdns.DialTimeout("udp", "192.0.2.53:53", 5*time.Second) })
	if err != nil {
		return addr, err
	}
	defer c.Close()
	q := new(mdns.Msg)
	q.SetQuestion(name+".", mdns.TypeA)
	if err := c.WriteMsg(q); err != nil {
		return addr, err
	}
	a, err := c.ReadMsg()
	if err != nil {
		return addr, err
	}
	if len(a.Answer) != 1 {
		return addr, fmt.Errorf("%v", a)
	}
	addr, _ = netip.AddrFromSlice(a.Answer[0].(*mdns.A).A.To4())
	return addr, nil
}

// dial opens so many connections to the name at a port.
func (b *sealedBox) dial(t testing.TB, port, n int) (out []net.Conn, err error) {
	t.Helper()
	inside(t, b.ns, func() {
		for range n {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", netip.AddrPortFrom(b.addr, uint16(port)).String(), 20*time.Second); err != nil {
				return
			}
			out = append(out, c)
		}
	})
	return out, err
}

func (b *sealedBox) end() {
	_ = b.h.conn.Close()
	b.h.socks.Close()
	_ = b.ns.Close()
}

// concurrently does something with each, four at a time, and returns what failed.
func concurrently[T any](all []T, do func(T) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, 4)
	for _, x := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(x); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Many idle connections from many sandboxes: intercepted ones, on which a request
// was made, and tunnels. What each takes is told, and nothing is left of them. The
// full count, 8,000 and 2,500 of 100 sandboxes, is a soak test.
func TestManyConnections(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	defer runtime.UnlockOSThread()
	boxes, opened, tunnels, whole := 5, 80, 25, os.Getenv("SALLYPORT_SOAK") != ""
	if whole {
		boxes = 100
	}
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	port := echo.Addr().(*net.TCPAddr).Port
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	dir := filepath.Join(filepath.Dir(p.dir), "policies", "both")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "package egress\n\nallow := true\n", "b": fmt.Sprintf("package egress.connect\n\nallow if input.destination.port == %d\n\nopaque := true\n", port)} {
		if err := os.WriteFile(filepath.Join(dir, name+".rego"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.anew(t, replace("policies:\n", "policies:\n  - {name: both, dir: policies/both}\n"))
	client := admin.NewClient(s.control)
	st, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(st.CA))
	var all []*sealedBox
	for i := range boxes {
		all = append(all, s.boxed(client, fmt.Sprint("box-", i), "both"))
	}
	get := fmt.Sprintf("GET /echo HTTP/1.1\r\nHost: %s\r\n\r\n", p.at("api.example.com"))
	ask := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(c, get); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
			return fmt.Errorf("%s %w", resp.Status, err)
		}
		return nil
	}
	sessions := tls.NewLRUClientSessionCache(8)
	shake := func(c net.Conn) error { // a handshake of each is made, most of them resumed
		return ask(tls.Client(c, &tls.Config{ServerName: "api.example.com", RootCAs: roots, NextProtos: []string{"http/1.1"}, ClientSessionCache: sessions}))
	}
	say := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write([]byte{0}); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	// What one connection of each kind leaves for the next is there before.
	for _, b := range all {
		c, err := b.dial(t, p.origin.TLSPort, 1)
		if err == nil {
			err = shake(c[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = c[0].Close()
	}
	phase := func(kind string, port, each int, do func(net.Conn) error) (open []net.Conn) {
		t.Helper()
		before := s.settled()
		var mu sync.Mutex
		err := concurrently(all, func(b *sealedBox) error {
			for left := each; left > 0; left -= 5 { // few at once: who says nothing for long is ended
				some, err := b.dial(t, port, min(left, 5))
				if err != nil {
					return err
				}
				for _, c := range some {
					if err := do(c); err != nil {
						return err
					}
					mu.Lock()
					open = append(open, c)
					mu.Unlock()
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		is := s.settled()
		n := len(open)
		t.Logf("%d idle %s of %d sandboxes: each takes %.1f KiB, %.2f descriptors, %.2f goroutines", n, kind, boxes,
			float64(is.rss-before.rss)/float64(n), float64(is.fds-before.fds)/float64(n), float64(is.goroutines-before.goroutines)/float64(n))
		return open
	}
	before := s.settled()
	opaque := phase("tunnels", port, tunnels, say)
	read := phase("intercepted connections", p.origin.TLSPort, opened, shake)
	most := s.usage()
	each := float64(most.rss-before.rss) / float64(len(opaque)+len(read))
	t.Logf("together %.1f KiB each; before %+v, with all %+v", each, before, most)
	if whole && each > 48 {
		t.Error("48 KiB each is the most")
	}
	for _, c := range append(opaque, read...) {
		_ = c.Close()
	}
	var after usage
	left := func() bool {
		after = s.usage()
		return after.fds > before.fds+8 || after.goroutines > before.goroutines+8 || whole && after.rss > before.rss+(most.rss-before.rss)/2
	}
	for end := time.Now().Add(4 * time.Minute); left() && time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // memory comes back when garbage is collected
	}
	if t.Logf("after %+v", after); left() {
		t.Error("they left something behind")
	}
	for _, b := range all {
		b.end()
	}
	s.stop()
}

// settled is what the sidecar takes when it has nothing to do.
func (s *side) settled() (is usage) {
	for last := -1; last != is.rss; time.Sleep(200 * time.Millisecond) {
		last = is.rss
		is = s.usage()
	}
	return is
}
