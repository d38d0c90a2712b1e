package differ

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// An entry is a way to an origin.
type entry struct {
	Origin string
	Port   int
}

func (e entry) name() string      { return e.Origin + ".example.com" }
func (e entry) authority() string { return fmt.Sprintf("%s:%d", e.name(), e.Port) }

// entries are where a case goes.
func entries(k kase) (out []entry) {
	for _, o := range origins {
		switch {
		case k.way == "plain" || k.way == "proxy":
			out = append(out, entry{o, plainPort})
		case k.way == "tls" || !hasH2(o):
			out = append(out, entry{o, tlsPort})
		case k.group == "paths":
			out = append(out, entry{o, tlsH1Port})
		default:
			out = append(out, entry{o, tlsPort}, entry{o, tlsH1Port})
		}
	}
	return out
}

// id names a case to an origin, port and all, in letters that mean nothing anywhere.
func (e entry) id(k kase) string {
	id := strings.Map(func(r rune) rune {
		switch {
		case r == '/':
			return '.'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, k.id())
	return fmt.Sprintf("%s-%d", id, e.Port)
}

func (e entry) fill(text string, k kase) string {
	return strings.NewReplacer("{host}", e.authority(), "{HOST}", strings.ToUpper(e.authority()), "{name}", e.name(), "{port}", fmt.Sprint(e.Port), "{id}", e.id(k)).Replace(text)
}

// An answer is how one case ended for its client.
type answer struct {
	Entry    entry
	Case     int      // of the corpus
	Statuses []string // of HTTP/1, or how the stream ended
	Text     string   // the beginning of all that came
}

// A road opens connections to origins.
type road struct {
	roots *x509.CertPool
	to    func(e entry) string // address for a connection
	proxy string               // address of an explicit proxy; "" is none
}

func (r *road) open(k kase, e entry, protocols ...string) (net.Conn, error) {
	if k.way == "proxy" {
		if r.proxy == "" {
			return nil, errors.New("there is no proxy")
		}
		return net.DialTimeout("tcp", r.proxy, 20*time.Second)
	}
	c, err := net.DialTimeout("tcp", r.to(e), 20*time.Second)
	if err != nil || k.way == "plain" {
		return c, err
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t := tls.Client(c, &tls.Config{ServerName: e.name(), RootCAs: r.roots, NextProtos: protocols})
	if err := t.Handshake(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}

// patience is how long an answer is waited for where none has to come.
const patience = 500 * time.Millisecond

// send sends one case. An error is one of the road.
func (r *road) send(k kase, e entry) (a answer, err error) {
	a.Entry = e
	if k.way == "h2" {
		return r.sendH2(k, e)
	}
	c, err := r.open(k, e, "http/1.1")
	if err != nil {
		return a, err
	}
	defer c.Close()
	go func() {
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, e.fill(k.raw, k))
	}()
	var got []byte
	buf := make([]byte, 32<<10)
	for {
		wait := patience
		if n := len(statuses(got)) - k.before; k.want == arrives && n < k.requests() || n == 0 && k.want == refused {
			wait = 20 * time.Second
			if k.want == refused {
				wait = 3 * patience
			}
		} else if n >= k.requests() && k.want == arrives {
			wait = patience / 10
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil || len(got) > 1<<20 {
			break
		}
	}
	a.Statuses, a.Text = statuses(got), string(got[:min(len(got), 2000)])
	return a, nil
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] ([2-5]\d\d)`)

func statuses(b []byte) (out []string) {
	for _, m := range statusLine.FindAllSubmatch(b, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// sendAll sends the whole corpus to all origins, some of it at once, and gives
// each answer to tell, one at a time.
func (r *road) sendAll(all []kase, tell func(answer)) error {
	type job struct {
		i int
		e entry
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range 96 {
		wg.Go(func() {
			for j := range jobs {
				a, err := r.send(all[j.i], j.e)
				a.Case = j.i
				mu.Lock()
				if err != nil {
					errs = append(errs, fmt.Errorf("%s to %s: %w", all[j.i].id(), j.e.authority(), err))
				} else {
					tell(a)
				}
				mu.Unlock()
			}
		})
	}
	for i, k := range all {
		if k.way == "proxy" && r.proxy == "" {
			continue
		}
		for _, e := range entries(k) {
			jobs <- job{i, e}
		}
	}
	close(jobs)
	wg.Wait()
	return errors.Join(errs...)
}

// inside is what runs in the sandbox: it sends everything, and prints answers.
func inside() error {
	ca, err := os.ReadFile("/run/sallyport/ca.pem")
	if err != nil {
		return err
	}
	r := &road{roots: x509.NewCertPool(), to: entry.authority, proxy: "127.0.0.1:3128"}
	r.roots.AppendCertsFromPEM(ca)
	out := json.NewEncoder(os.Stdout)
	return r.sendAll(corpus(), func(a answer) { _ = out.Encode(a) })
}
