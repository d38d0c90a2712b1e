package credentials

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport/dest"
)

// hostile 111: the encodings in which servers and templates echo what they were sent.
func TestEchoEncodings(t *testing.T) {
	bearer, basic := Place{Kind: Bearer}, Place{Kind: Basic, User: "bot"}
	esc := func(format, plain string) string { return escaped([]byte(canary), format, plain) }
	for name, c := range map[string]struct {
		place Place
		text  string
	}{
		"JSON of .NET":        {bearer, esc(`\u%04X`, "-_.~")},
		"JSON of Java":        {bearer, esc(`\u%04x`, "")},
		"HTML in numbers":     {bearer, esc("&#%d;", "")},
		"HTML in hexadecimal": {bearer, esc("&#x%X;", "-_.~")},
		"percent, twice":      {bearer, esc("%%25%02X", "-_.~")},
		"lower case":          {bearer, strings.ToLower(canary)},
		"upper case":          {bearer, strings.ToUpper(canary)},
		"as it was sent":      {basic, basicOf(canary)},
	} {
		g := grant(t, binding(t, "a", c.place))
		body, _, err := g.ScrubBody(io.NopCloser(strings.NewReader("<"+c.text+">")), http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(body)
		if string(out) != "<[REDACTED:a]>" {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func basicOf(secret string) string {
	h := http.Header{}
	r := &http.Request{Header: h}
	r.SetBasicAuth("bot", secret)
	return strings.TrimPrefix(h.Get("Authorization"), "Basic ")
}

// hostile 110: a part of an answer is neither asked for nor taken.
func TestParts(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	h := http.Header{"Range": {"bytes=0-1"}, "Request-Range": {"bytes=0-1"}, "X-Ms-Range": {"bytes=0-1"}, "If-Range": {"x"}}
	g.PrepareRequest(h)
	if len(h) != 1 || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("asked with %v", h)
	}
	for _, h := range []http.Header{{"Content-Range": {"bytes 0-1/9"}}, {"Content-Type": {"multipart/byteranges; boundary=x"}}, {"Content-Type": {"Multipart/X-Byteranges"}}} {
		if _, _, err := g.ScrubBody(io.NopCloser(strings.NewReader("x")), h); err == nil {
			t.Errorf("%v is taken", h)
		}
	}
}

// What is held back does not tell whether it is the beginning of a secret.
func TestHeldBackTellsNothing(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	delivered := func(text string) int {
		r, w := io.Pipe()
		body, _, err := g.ScrubBody(r, http.Header{"Content-Type": {"text/plain"}})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan int, 1)
		go func() {
			n := 0
			b := make([]byte, 4096)
			for {
				m, err := body.Read(b)
				n += m
				if err != nil {
					got <- n
					return
				}
			}
		}()
		_, _ = io.WriteString(w, text)
		_, _ = w.Write(nil) // the reader has taken all of it by now
		n := 0
		_ = w.CloseWithError(io.ErrUnexpectedEOF) // nothing held is flushed
		n = <-got
		return n
	}
	line := strings.Repeat("x", 1000)
	for i := 1; i < len(canary); i++ {
		right, wrong := delivered(line+canary[:i]), delivered(line+canary[:i-1]+"\x01")
		if right != wrong {
			t.Errorf("after %d bytes of the secret %d bytes are delivered, and %d after a wrong one", i, right, wrong)
		}
	}
	if n := delivered("data: hello\n\n"); n != len("data: hello\n\n") {
		t.Errorf("of a line that ended only %d bytes are delivered", n)
	}
}

// What is bound to a host is looked for in all that comes from it.
func TestWatch(t *testing.T) {
	s := store(t, binding(t, "a", Place{Kind: Bearer}))
	for at, want := range map[string]string{"api.example.com:80": "last: [REDACTED:a]", "api.example.com:8443": "last: [REDACTED:a]"} {
		g := s.Watch(Target{Addr: target(t, at).Addr, Scheme: "http"})
		if g == nil {
			t.Fatalf("%s is not watched", at)
		}
		body, _, err := g.ScrubBody(io.NopCloser(iotest.OneByteReader(strings.NewReader("last: "+canary))), http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := io.ReadAll(body); string(out) != want {
			t.Errorf("%s: %s", at, out)
		}
		if len(g.Uses()) != 0 {
			t.Error("it puts something on")
		}
	}
	if s.Watch(target(t, "other.example.com:443")) != nil {
		t.Error("a host to which nothing is bound is watched")
	}
}

// An automaton over several credentials is made once, and is no larger than it
// has to be.
func TestAutomataAreKept(t *testing.T) {
	var bs []Binding
	for _, n := range []string{"a", "b"} {
		b := binding(t, n, Place{Kind: Header, Name: "X-" + n})
		b.Source = &fixed{v: strings.Repeat(n, 2048) + "+/=" + n}
		bs = append(bs, b)
	}
	s := store(t, bs...)
	first, err := s.Grant(t.Context(), target(t, "api.example.com:443"), asked("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Grant(t.Context(), target(t, "api.example.com:443"), asked("b", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if first.find != again.find {
		t.Error("it was made twice")
	}
	if n := first.find.size(); n > 6<<20 {
		t.Errorf("it takes %d bytes", n)
	}
	for _, n := range []string{"a", "b"} {
		if out, hits := first.find.replace([]byte("x" + strings.Repeat(n, 2048) + "+/=" + n)); hits != 1 || !bytes.Equal(out, fmt.Appendf(nil, "x[REDACTED:%s]", n)) {
			t.Errorf("%d hits: %.40s", hits, out)
		}
	}
}

// What stands right behind a secret in base64 is searched as well, and no more of
// it is lost than belongs to the secret.
func TestBehindBase64(t *testing.T) {
	for name, p := range map[string]Place{"bearer": {Kind: Bearer}, "basic": {Kind: Basic, User: "bot"}} {
		for _, secret := range []string{"S3cr3t_p4ssw0rd!42", "S3cr3t_p4ssw0rd!423", "S3cr3t_p4ssw0rd!4234"} {
			b := binding(t, "n", p)
			b.Source = &fixed{v: secret}
			g := grant(t, b)
			b64 := base64.StdEncoding.EncodeToString([]byte(secret))
			pair := base64.StdEncoding.EncodeToString([]byte("bot:" + secret))
			for in, want := range map[string]string{
				b64 + b64:         "[REDACTED:n][REDACTED:n]",
				b64 + secret:      "[REDACTED:n][REDACTED:n]",
				b64 + " 00 next":  "[REDACTED:n] 00 next",
				secret + "/path=": "[REDACTED:n]/path=",
				"<" + b64 + ">":   "<[REDACTED:n]>",
			} {
				if out, _ := g.find.replace([]byte(in)); string(out) != want {
					t.Errorf("%s, %d bytes: %q became %q, want %q", name, len(secret), in, out, want)
				}
			}
			if p.Kind == Basic {
				for in, want := range map[string]string{pair + secret + "x": "[REDACTED:n][REDACTED:n]x", pair + "/path": "[REDACTED:n]/path", pair + "\n00 next": "[REDACTED:n]\n00 next"} {
					out, _ := g.find.replace([]byte(in))
					if len(secret)%3 == 2 && strings.HasSuffix(in, "/path") && string(out) == "[REDACTED:n]path" {
						continue // a slash is of the alphabet, and could carry bits
					}
					if string(out) != want {
						t.Errorf("%s, %d bytes: %q became %q, want %q", name, len(secret), in, out, want)
					}
				}
			}
		}
	}
}

// What a store before this one knew is still looked for.
func TestInherit(t *testing.T) {
	old := store(t, binding(t, "a", Place{Kind: Bearer}))
	b := binding(t, "b", Place{Kind: Bearer})
	b.Source = &fixed{v: "another-secret-value"}
	host, err := dest.ParseHost("other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	b.Host = host
	now := store(t, b)
	now.Inherit(old)
	g := now.Watch(target(t, "api.example.com:443"))
	if g == nil {
		t.Fatal("the host is not watched any more")
	}
	if out, hits := g.find.replace([]byte("x " + canary)); hits != 1 {
		t.Errorf("%s", out)
	}
	third := store(t, b) // as a reload makes it that changes nothing
	third.Inherit(now)
	if len(third.former) != 1 {
		t.Errorf("%d are inherited", len(third.former))
	}
	if out := now.RedactString("x " + canary + " another-secret-value"); out != "x [REDACTED:a] [REDACTED:b]" {
		t.Errorf("%s", out)
	}
}
