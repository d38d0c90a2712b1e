package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rs/zerolog"

	"sallyport/credentials"
	"sallyport/credentials/env"
	"sallyport/dest"
	"sallyport/origin"
	"sallyport/proxy"
)

// shapes are in which a secret is echoed, and looked for.
var shapes = []func(s string, r *rand.Rand) string{
	func(s string, _ *rand.Rand) string { return s },
	func(s string, r *rand.Rand) string {
		return base64.StdEncoding.EncodeToString([]byte("xyz"[:r.IntN(4)] + s + "tail"[:r.IntN(4)]))
	},
	func(s string, r *rand.Rand) string {
		return base64.RawURLEncoding.EncodeToString([]byte("xyz"[:r.IntN(4)] + s))
	},
	func(s string, _ *rand.Rand) string { return hex.EncodeToString([]byte(s)) },
	func(s string, _ *rand.Rand) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	func(s string, _ *rand.Rand) string { return url.QueryEscape(s) },
	func(s string, _ *rand.Rand) string { return url.PathEscape(s) },
	func(s string, _ *rand.Rand) string { b, _ := json.Marshal(s); return string(b) },
	func(s string, _ *rand.Rand) string { return html.EscapeString(s) },
	func(s string, _ *rand.Rand) string { return strings.ToUpper(s) },
}

// telltales are texts of which each says that a secret got out, whatever stands
// around it.
func telltales(secret string) (out []string) {
	out = append(out, secret, strings.ToUpper(secret), hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), url.QueryEscape(secret), html.EscapeString(secret))
	for off := range 3 {
		b := base64.RawStdEncoding.EncodeToString([]byte("xyz"[:off] + secret))
		out = append(out, b[4:len(b)-2], strings.NewReplacer("+", "-", "/", "_").Replace(b[4:len(b)-2]))
	}
	return out
}

// chatty is an origin that tells what it was sent, in any place, form and piece.
func chatty(secrets []string) http.HandlerFunc {
	var n atomic.Uint64
	return func(w http.ResponseWriter, req *http.Request) {
		r := rand.New(rand.NewPCG(17, n.Add(1)))
		body, _ := io.ReadAll(req.Body)
		secret := secrets[0]
		for i := range secrets { // what another host was sent is not this one's to tell
			if strings.HasPrefix(req.Host, fmt.Sprintf("k%d.", i)) {
				secret = secrets[i]
			}
		}
		said := shapes[r.IntN(len(shapes))](secret, r)
		flat := strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return -1
			}
			return c
		}, said)
		h := w.Header()
		switch r.IntN(8) {
		case 0:
			h.Set("X-Echo", flat)
		case 1:
			h.Set("Set-Cookie", "last="+strings.ReplaceAll(flat, ";", ""))
		case 2:
			h.Set("Location", "/?token="+url.QueryEscape(secret))
		case 3:
			h.Set("Link", "</"+flat+">; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		case 4:
			h.Set("Trailer", "X-Last")
			defer h.Set("X-Last", flat)
		}
		text := []byte(strings.Repeat("text ", r.IntN(40)) + said + "\n" + fmt.Sprint(req.Header, req.URL.RawQuery) + string(body))
		h.Set("Content-Type", []string{"text/plain", "application/json", "text/event-stream", "application/octet-stream"}[r.IntN(4)])
		var buf bytes.Buffer
		switch r.IntN(6) {
		case 0:
			z := gzip.NewWriter(&buf)
			_, _ = z.Write(text)
			_ = z.Close()
			h.Set("Content-Encoding", "gzip")
		case 1:
			z, _ := zstd.NewWriter(&buf)
			_, _ = z.Write(text)
			_ = z.Close()
			h.Set("Content-Encoding", "zstd")
		case 2:
			buf.Write(text)
			h.Set("Etag", fmt.Sprintf("%q", flat))
			h.Set("Content-Length", fmt.Sprint(buf.Len()))
		default:
			buf.Write(text)
		}
		w.WriteHeader([]int{200, 200, 200, 201, 302, 401, 404, 500}[r.IntN(8)])
		for b := buf.Bytes(); len(b) > 0; {
			k := 1 + r.IntN(len(b))
			_, _ = w.Write(b[:k])
			if b = b[k:]; r.IntN(3) == 0 {
				_ = http.NewResponseController(w).Flush()
			}
		}
		if r.IntN(40) == 0 {
			panic(http.ErrAbortHandler)
		}
	}
}

// hostile 130: of thousands of exchanges, in which origins tell all that they were
// sent, no answer, record or line of a log holds a secret in any form (100,000 with
// SALLYPORT_SOAK).
func TestCanaries(t *testing.T) {
	const workers = 8
	total := 2000
	if os.Getenv("SALLYPORT_SOAK") != "" {
		total = 100_000
	}
	places := []credentials.Place{{Kind: credentials.Bearer}, {Kind: credentials.Basic, User: "bot"}, {Kind: credentials.Header, Name: "X-Api-Key", Format: "Token {secret}"}, {Kind: credentials.Query, Name: "key"},
		{Kind: credentials.Cookie, Name: "sid"}, {Kind: credentials.JSON, Name: "/auth/key"}, {Kind: credentials.Form, Name: "key"}}
	var secrets []string
	var bound []credentials.Binding
	var rego strings.Builder
	rego.WriteString("package egress\n\nallow if true\n")
	for i, p := range places {
		s := fmt.Sprintf("C4nary/%d+&%016x-Zq", i, rand.New(rand.NewPCG(uint64(i), 9)).Uint64())
		name := fmt.Sprintf("CANARY_%d", i)
		t.Setenv(name, s)
		src, err := env.New(name)
		if err != nil {
			t.Fatal(err)
		}
		host, err := dest.ParseHost(fmt.Sprintf("k%d.example.com", i))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, s)
		bound = append(bound, credentials.Binding{Name: name, Source: src, Bind: credentials.Bind{Host: host}, Place: p})
		fmt.Fprintf(&rego, "\ncredentials contains %q if input.destination.host == %q\n", name, host)
	}
	var log lockedBuffer
	rg := newRig(t, rigging{policy: rego.String(), bindings: bound, origin: origin.Options{Handler: chatty(secrets)}, more: func(c *proxy.Config) { c.Log = zerolog.New(&log) }})
	var marks []string
	for _, s := range secrets {
		marks = append(marks, telltales(s)...)
	}
	clean := func(what string, b []byte) {
		for _, m := range marks {
			if bytes.Contains(b, []byte(m)) {
				t.Errorf("%s holds %s", what, m)
			}
		}
	}
	var done, redacted, sent atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(5, uint64(w)))
			conns := map[int]*tls.Conn{}
			for done.Add(1) <= int64(total) && !t.Failed() {
				i := r.IntN(len(places))
				if conns[i] == nil {
					c, err := rg.tls(fmt.Sprintf("k%d.example.com", i), &tls.Config{NextProtos: []string{"http/1.1"}})
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
					conns[i] = c
				}
				kind, body := "application/json", `{"auth": {"key": "mine"}, "n": 1}`
				if places[i].Kind == credentials.Form {
					kind, body = "application/x-www-form-urlencoded", "a=1&key=mine"
				}
				if r.IntN(20) == 0 {
					body = "{]"
				}
				fmt.Fprintf(conns[i], "POST /p%d?q=%d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer mine\r\nContent-Type: %s\r\nContent-Length: %d\r\nTE: trailers\r\n\r\n%s", r.IntN(9), r.IntN(9), rg.at(fmt.Sprintf("k%d.example.com", i)), kind, len(body), body)
				raw, open := answerOf(conns[i])
				clean("an answer", raw)
				if bytes.Contains(raw, []byte("[REDACTED:CANARY")) {
					redacted.Add(1)
				}
				if sent.Add(1); !open {
					_ = conns[i].Close()
					delete(conns, i)
				}
			}
			for _, c := range conns {
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	if n := sent.Load(); n < int64(total) || redacted.Load() < n/2 {
		t.Errorf("%d exchanges, of which %d held something to find", n, redacted.Load())
	}
	if err := rg.audit.Close(); err != nil {
		t.Error(err)
	}
	files := 0
	err := filepath.WalkDir(rg.log, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		clean("a record", b)
		return err
	})
	if err != nil || files == 0 {
		t.Error("no records: ", err)
	}
	clean("the log", log.bytes())
}

// answerOf reads one answer as it comes, with what is informational before it, and
// whether the connection can be used again.
func answerOf(c io.Reader) ([]byte, bool) {
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(c, &raw))
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodPost})
		if err != nil {
			return raw.Bytes(), false
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 {
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return raw.Bytes(), err == nil && !resp.Close && in.Buffered() == 0
	}
}

// A lockedBuffer takes what many write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
