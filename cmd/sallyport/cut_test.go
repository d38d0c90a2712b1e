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
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// slowly answers so that all of it is under way for long: events without end, a
// body of a known length in pieces, an upload that is read to its end.
func slowly(uploaded *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			buf := make([]byte, 100)
			for {
				n, err := r.Body.Read(buf)
				uploaded.Add(int64(n))
				if err != nil {
					if errors.Is(err, io.EOF) {
						uploaded.Store(-1) // it looked whole
					}
					return
				}
			}
		}
		if r.URL.Path == "/large" {
			w.Header().Set("Content-Length", "100000000")
		}
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A caught is how something that was under way ended for its client.
type caught struct{ name, end string }

// underWay opens streams, a download and an upload through the proxy at a socket,
// and returns how each of them ends.
func (s *side) underWay(t *testing.T, socket string, roots *x509.CertPool) <-chan caught {
	t.Helper()
	ends, begun := make(chan caught, 8), make(chan string, 8)
	client := func(h2 bool) *http.Client {
		return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"}), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			}}}
	}
	for name, c := range map[string]struct {
		url string
		h2  bool
	}{"plain": {s.http("api.example.com", "/stream"), false}, "h1": {s.https("api.example.com", "/stream"), false}, "h2": {s.https("api.example.com", "/stream"), true}, "length": {s.https("api.example.com", "/large"), false}} {
		go func() {
			resp, err := client(c.h2).Get(c.url)
			if err != nil || resp.StatusCode != 200 || (resp.ProtoMajor == 2) != c.h2 {
				begun <- fmt.Sprint(name, ": ", resp, err)
				return
			}
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			_, err = in.ReadString('\n')
			begun <- fmt.Sprint(err)
			if _, err = io.Copy(io.Discard, in); err == nil {
				err = errors.New("CLEAN")
			}
			ends <- caught{name, err.Error()}
		}()
	}
	go func() {
		body, more := io.Pipe()
		go func() {
			for {
				if _, err := io.WriteString(more, "a piece of what is sent\n"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		begun <- "<nil>"
		resp, err := client(false).Post(s.https("api.example.com", "/upload"), "text/plain", body)
		if err == nil {
			err = fmt.Errorf("CLEAN %s", resp.Status)
			if resp.StatusCode >= 500 {
				err = errors.New(resp.Status)
			}
		}
		ends <- caught{"upload", err.Error()}
	}()
	for range 5 {
		if b := <-begun; b != "<nil>" {
			t.Fatal(b)
		}
	}
	return ends
}

// hostile 149: stopped, killed and begun again in the middle of streams, a download,
// an upload and a tunnel: clients and the origin see that they were cut, and each
// decision has one outcome, or is marked lost.
func TestCutsLookCut(t *testing.T) {
	tool(t, "python3", "python3")
	for _, how := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			var uploaded atomic.Int64
			p := newPlace(t, callers()[0], origin.Options{Handler: slowly(&uploaded)})
			sock := filepath.Join(filepath.Dir(p.dir), "run", "proxy.sock")
			s := p.sidecar(t, fmt.Sprintf("sandboxes:\n  - {name: told, labels: {team: web}, props: {tenant: t-7}, policy: [web], explicit: {socket: %s, user: %d}}\n", sock, os.Getuid()))
			st, err := admin.NewClient(s.control).Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM([]byte(st.CA))
			ends := s.underWay(t, sock, roots)
			raw := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "raw", "--policy", "raw", "--", "/usr/bin/python3", "-c", fmt.Sprintf(`
import socket
c = socket.create_connection(("api.example.com", %d)); c.sendall(b"GET /stream HTTP/1.0\r\nHost: x\r\n\r\n"); c.recv(10); print("tunnel up", flush=True)
try:
    while c.recv(65536): pass
    print("tunnel CLEAN", flush=True)
except OSError as e: print("tunnel", type(e).__name__, flush=True)
`, p.origin.PlainPort))
			raw.until("tunnel up")
			until(t, "the upload", func() bool { return uploaded.Load() > 0 })
			_ = s.b.cmd.Process.Signal(how)
			_ = s.b.cmd.Wait()
			for range 5 {
				select {
				case c := <-ends:
					if strings.Contains(c.end, "CLEAN") {
						t.Errorf("%s ended as if it were whole: %s", c.name, c.end)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("a client was not told")
				}
			}
			raw.until("tunnel ConnectionResetError")
			for range 300 {
				if uploaded.Load() < 0 {
					t.Error("the origin takes the upload for whole")
				}
				time.Sleep(time.Millisecond)
			}
			if how == unix.SIGTERM { // all is told before the end
				p.verified()
				s.outcomes(0)
			}
			s.begin()
			uploaded.Store(0)
			_ = s.underWay(t, sock, roots) // it serves
			until(t, "the upload", func() bool { return uploaded.Load() > 0 })
			s.kill()
			s.begin()
			s.stop()
			lost := 5
			if how == unix.SIGKILL {
				lost += 6
			}
			s.outcomes(lost)
		})
	}
}

// outcomes holds that each decision that let something pass has one outcome, of which
// so many are marked lost.
func (s *side) outcomes(lost int) {
	s.t.Helper()
	ends, marked, allowed := map[string]int{}, 0, 0
	for _, e := range s.records() {
		switch e.Str("event.name") {
		case "egress.request.complete", "egress.tunnel.close":
			ends[e.Str("event.of")]++
		case "egress.request.lost":
			ends[e.Str("event.of")]++
			marked++
		}
	}
	for _, e := range s.records() {
		if n := e.Str("event.name"); (n == "egress.request.decision" || n == "egress.tunnel.decision") && e.Str("policy.decision") == "allow" {
			allowed++
			if ends[e.Str("event.id")] != 1 {
				s.t.Errorf("%s %s%s has %d outcomes", n, e.Str("url.domain"), e.Str("url.path"), ends[e.Str("event.id")])
			}
		}
	}
	if marked != lost || len(ends) != allowed || allowed < 6 {
		s.t.Errorf("%d of %d are marked lost, %d decisions have %d outcomes", marked, lost, allowed, len(ends))
	}
}
