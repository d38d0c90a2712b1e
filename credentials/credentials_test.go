package credentials

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rs/zerolog"

	"sallyport/dest"
)

const canary = "s3cr3t+Canary/0123456789=x"

// fixed is a source for tests; broken makes it fail.
type fixed struct {
	v      string
	n      int
	broken error
}

func (f *fixed) Fetch(context.Context, Params) (Value, error) {
	if f.broken != nil {
		return Value{}, f.broken
	}
	s, err := NewSecret([]byte(f.v))
	return Value{Secret: s, Version: fmt.Sprint(f.n)}, err
}

func (f *fixed) String() string { return "test:fixed" }

const cookieCanary = "s3cr3t+Canary/0123456789=y"

// given is a source that gives more than a secret.
type given struct{}

func (given) Fetch(context.Context, Params) (Value, error) {
	s, err := NewSecret([]byte(canary))
	o, _ := NewSecret([]byte("another-secret"))
	return Value{Secret: s, Others: map[string]Secret{"tail": o}, Public: map[string]string{"user": "bot"}, Version: "1"}, err
}

func (given) String() string { return "test:given" }

func asked(names ...string) (out []Ask) {
	for _, n := range names {
		out = append(out, Ask{Name: n})
	}
	return out
}

func target(t testing.TB, s string) Target {
	t.Helper()
	a, err := dest.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return Target{Addr: a, Scheme: "https"}
}

func binding(t testing.TB, name string, p Place) Binding {
	a := target(t, "api.example.com:443").Addr
	return Binding{Name: name, Source: &fixed{v: canary}, Bind: Bind{Host: a.Host(), Port: a.Port(), Scheme: "https"}, Place: p}
}

func store(t testing.TB, bs ...Binding) *Store {
	t.Helper()
	s, err := New(t.Context(), bs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func grant(t testing.TB, bs ...Binding) *Grant {
	t.Helper()
	s := store(t, bs...)
	var names []string
	for _, b := range bs {
		names = append(names, b.Name)
	}
	g, err := s.Grant(t.Context(), target(t, "api.example.com:443"), asked(names...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestParseSpec(t *testing.T) {
	for in, want := range map[string]string{
		"gh=env:TOKEN@https://api.github.com":                "gh env TOKEN api.github.com 443 header:Authorization",
		"gh=file:/run/a@b/token@https://api.github.com:8443": "gh file /run/a@b/token api.github.com 8443 header:Authorization",
		"gh=env:T@https://h.example,as=basic:x-access-token": "gh env T h.example 443 header:Authorization",
		"gh=env:T@https://h.example,as=header:X-Api-Key":     "gh env T h.example 443 header:X-Api-Key",
		"gh=env:T@https://h.example/,as=query:key":           "gh env T h.example 443 query:key",
		"gh=env:T@https://h.example,as=cookie:session":       "gh env T h.example 443 cookie:session",
		"gh=env:T@https://h.example,as=json:/api_key":        "gh env T h.example 443 json:/api_key",
		"gh=env:T@https://h.example,as=form:client_secret":   "gh env T h.example 443 form:client_secret",
		"gh": "", "gh=env:T": "", "gh=T@https://h": "", "gh=env:@https://h.example": "", "gh=exec:x@https://h.example": "",
		"gh=env:T@http://h.example": "", "gh=env:T@https://*.example": "", "gh=env:T@https://h.example,as=json:x": "", "gh=env:T@https://h.example,as=cookie:": "", "gh=env:T@https://h.example,x=y": "",
		"gh=env:T@https://h.example,as=header": "", "gh=env:T@https://h.example,as=bearer:x": "", "gh=env:T@https://u@h.example": "",
	} {
		s, err := ParseSpec(in)
		got := ""
		if err == nil {
			got = fmt.Sprint(s.Name, " ", s.SourceKind, " ", s.SourceArg, " ", s.Host, " ", s.Port, " ", s.Place)
		} else if !strings.Contains(err.Error(), "expected NAME=") {
			t.Errorf("%s: the error does not say what was expected: %v", in, err)
		}
		if got != want {
			t.Errorf("%s: %q %v, want %q", in, got, err, want)
		}
	}
}

// hostile 121
func TestBadSecrets(t *testing.T) {
	for _, v := range []string{"", "short", "a-secret\r\nX: y", "a-secret\x00", "a-secret\x7f", "a secret\tx"} {
		if _, err := NewSecret([]byte(v)); err == nil || strings.Contains(err.Error(), "secret\r") {
			t.Errorf("%q: %v", v, err)
		}
	}
}

func TestBadBindings(t *testing.T) {
	for _, p := range []Place{{Kind: "cooky"}, {Kind: Cookie}, {Kind: Cookie, Name: "a=b"}, {Kind: Header, Name: "Cookie"}, {Kind: JSON, Name: "api_key"}, {Kind: JSON, Name: "/a~2"}, {Kind: Form},
		{Kind: Header, Name: "X", Format: "no part"}, {Kind: Header, Name: "X", Format: "{secret"}, {Kind: Header, Name: "X", Format: "a\r\nY: {secret}"}, {Kind: Header, Name: "X", Format: "{Secret}"}, {Kind: Header, Name: "X", Format: "{secret}}"}, {Kind: Query, Name: "x", Format: "{secret}"},
		{Kind: Header, Name: "Host"}, {Kind: Header, Name: "a b"}, {Kind: Query}, {Kind: Basic, User: "a:b"}, {Kind: Header, Name: "content-length"}} {
		if _, err := New(t.Context(), []Binding{binding(t, "a", p)}); err == nil {
			t.Errorf("%+v", p)
		}
	}
	plain := binding(t, "a", Place{Kind: Bearer})
	plain.Scheme = "http"
	if _, err := New(t.Context(), []Binding{plain}); err == nil {
		t.Error("http was bound")
	}
	if _, err := New(t.Context(), []Binding{binding(t, "a", Place{Kind: Bearer}), binding(t, "a", Place{Kind: Bearer})}); err == nil {
		t.Error("two have one name")
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		place          Place
		h              http.Header
		query          string
		header, wanted string
		client         string
		remark         string
	}{
		{Place{Kind: Bearer}, http.Header{}, "", "Authorization", "Bearer " + canary, "none", ""},
		{Place{Kind: Bearer}, http.Header{"Authorization": {"Bearer mine", "x"}}, "", "Authorization", "Bearer " + canary, "stripped", "hostile 120"},
		{Place{Kind: Basic, User: "u"}, http.Header{}, "", "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+canary)), "none", ""},
		{Place{Kind: Header, Name: "x-api-key"}, http.Header{"X-Api-Key": {"mine"}, "X_api_key": {"mine"}, "X_API_KEY": {"mine"}}, "", "X-Api-Key", canary, "stripped", "hostile 120: underscores"},
		{Place{Kind: Header, Name: "X-Api-Key", Format: "Token {secret}"}, http.Header{}, "", "X-Api-Key", "Token " + canary, "none", ""},
		{Place{Kind: Header, Name: "X-Api-Key", Format: "{user}:{secret};{tail}"}, http.Header{}, "", "X-Api-Key", "bot:" + canary + ";another-secret", "none", ""},
		{Place{Kind: Basic}, http.Header{}, "", "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("bot:"+canary)), "none", "the user is the source's"},
		{Place{Kind: Cookie, Name: "sid"}, http.Header{"Cookie": {"a=1; SID=mine; sid = mine", "b=\"x\";c=,sid=mine"}}, "", "Cookie", "a=1; b=\"x\"; sid=" + cookieCanary, "stripped", "hostile 120"},
		{Place{Kind: Cookie, Name: "sid"}, http.Header{"Cookie": {"a=1; asid=2"}}, "", "Cookie", "a=1; asid=2; sid=" + cookieCanary, "none", ""},
		{Place{Kind: Query, Name: "key"}, http.Header{}, "a=1&key=mine&%6bey=mine&KEY=mine&b=%20", "", "a=1&b=%20&key=" + url.QueryEscape(canary), "stripped", "hostile 120: encoded name"},
	} {
		b := binding(t, "a", c.place)
		b.Source = given{}
		if c.place.Kind == Cookie {
			b.Source = &fixed{v: cookieCanary}
		}
		g := grant(t, b)
		u := &url.URL{RawQuery: c.query}
		if err := g.Apply(&Request{Header: c.h, URL: u}); err != nil {
			t.Fatal(err)
		}
		got := u.RawQuery
		if c.header != "" {
			got = strings.Join(c.h.Values(c.header), "|")
			if len(c.h) != 1 {
				t.Errorf("%v (%s)", c.h, c.remark)
			}
		}
		if got != c.wanted || g.Uses()[0].Client != c.client {
			t.Errorf("%+v: %q %+v (%s)", c.place, got, g.Uses(), c.remark)
		}
	}
}

func TestGrantErrors(t *testing.T) {
	down := binding(t, "down", Place{Kind: Header, Name: "X-Down"})
	src := &fixed{v: "another-secret-value"}
	down.Source = src
	s := store(t, binding(t, "a", Place{Kind: Bearer}), binding(t, "b", Place{Kind: Basic, User: "u"}), down)
	src.broken = errors.New("vault said " + canary)
	for _, c := range []struct {
		addr, scheme string
		names        []string
		code, remark string
	}{
		{"api.example.com:443", "https", []string{"nobody"}, "credential_unknown", ""},
		{"other.example.com:443", "https", []string{"a"}, "credential_not_bound", "hostile 117: another host"},
		{"api.example.com:8443", "https", []string{"a"}, "credential_not_bound", "hostile 118: another port"},
		{"api.example.com:443", "http", []string{"a"}, "credential_not_bound", "hostile 118: no TLS"},
		{"api.example.com:443", "https", []string{"a", "b"}, "credential_ambiguous", "hostile 127"},
		{"api.example.com:443", "https", []string{"a", "down"}, "credential_unavailable", "hostile 126"},
	} {
		tg := target(t, c.addr)
		tg.Scheme = c.scheme
		_, err := s.Grant(t.Context(), tg, asked(c.names...))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || strings.Contains(err.Error(), canary) {
			t.Errorf("%v: %v, want %s (%s)", c.names, err, c.code, c.remark)
		}
	}
}

func encodeAs(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "":
		return b
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		w, _ = zstd.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "raw-deflate":
		w, _ = flate.NewWriter(&out, 5)
	}
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// hostile 107, 108, 109, 111: however it comes back, and however it is cut.
func TestScrubBody(t *testing.T) {
	forms := map[string]string{
		"raw": canary, "base64": base64.StdEncoding.EncodeToString([]byte(canary)), "base64 inside": base64.StdEncoding.EncodeToString([]byte("x" + canary + "yy")),
		"base64 inside 2": base64.StdEncoding.EncodeToString([]byte("xx" + canary + "y")), "base64url": base64.RawURLEncoding.EncodeToString([]byte(canary)),
		"hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))), "query": url.QueryEscape(canary), "path": url.PathEscape(canary),
		"json": string(must(json.Marshal(canary))), "escaped slash": strings.ReplaceAll(canary, "/", `\/`), "basic": base64.StdEncoding.EncodeToString([]byte("user:" + canary)),
	}
	for _, place := range []Place{{Kind: Bearer}, {Kind: Basic, User: "user"}} {
		for name, form := range forms {
			for _, coding := range []string{"", "gzip", "br", "zstd", "deflate", "raw-deflate"} {
				g := grant(t, binding(t, "a", place))
				body := "before " + form + " after, s3cr3t and s3cr3t+Can"
				var r io.Reader = bytes.NewReader(encodeAs(t, coding, []byte(body)))
				if len(name)%2 == 0 {
					r = iotest.OneByteReader(r)
				}
				h := http.Header{"Content-Length": {"1"}, "Etag": {"x"}, "Digest": {"x"}, "Accept-Ranges": {"bytes"}, "X": {"y"}}
				if coding != "" {
					h.Set("Content-Encoding", strings.TrimPrefix(coding, "raw-"))
				}
				rc, n, err := g.ScrubBody(io.NopCloser(r), h)
				if err != nil {
					t.Fatal(err)
				}
				out, err := io.ReadAll(rc)
				if err != nil {
					t.Fatalf("%s %s: %v", name, coding, err)
				}
				if n.Load() == 0 || !strings.HasPrefix(string(out), "before ") || !strings.HasSuffix(string(out), " after, s3cr3t and s3cr3t+Can") || !strings.Contains(string(out), "[REDACTED:a]") {
					t.Errorf("%s %s %v: %q", name, coding, place, out)
				}
				if len(h) != 1 { // hostile 110
					t.Errorf("what tells of the body's length stays: %v", h)
				}
			}
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// hostile 109: what cannot be the beginning of a secret is not held back.
func TestScrubDoesNotWait(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	pr, pw := io.Pipe()
	rc, _, err := g.ScrubBody(pr, http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
		go func() { _, _ = io.WriteString(pw, event) }()
		n, err := rc.Read(buf)
		if err != nil || string(buf[:n]) != event {
			t.Fatalf("%q %v", buf[:n], err)
		}
	}
}

// hostile 108, 140
func TestScrubRefuses(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	for _, coding := range []string{"compress", "gzip, gzip, gzip", "aes128gcm"} {
		if _, _, err := g.ScrubBody(io.NopCloser(strings.NewReader("x")), http.Header{"Content-Encoding": {coding}}); err == nil {
			t.Errorf("%s was taken", coding)
		}
	}
	bomb := encodeAs(t, "gzip", make([]byte, 64<<20))
	rc, _, err := g.ScrubBody(io.NopCloser(bytes.NewReader(bomb)), http.Header{"Content-Encoding": {"gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, rc); !errors.Is(err, ErrBomb) || n > 8<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	rc, _, _ = g.ScrubBody(io.NopCloser(strings.NewReader("not gzip at all")), http.Header{"Content-Encoding": {"gzip"}})
	if _, err := io.ReadAll(rc); err == nil {
		t.Error("what is not gzip was taken for it")
	}
	cut := encodeAs(t, "gzip", []byte(strings.Repeat("hello ", 1000)))
	rc, _, _ = g.ScrubBody(io.NopCloser(bytes.NewReader(cut[:len(cut)/2])), http.Header{"Content-Encoding": {"gzip"}})
	if _, err := io.ReadAll(rc); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("a cut answer looks whole:", err)
	}
}

// Cut anywhere, the stream becomes the same, and nothing but secrets is changed.
func TestScrubProperty(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Basic, User: "u"}))
	rnd := rand.New(rand.NewPCG(5, 6))
	pieces := []string{canary, canary[:10], canary[5:], "s3", "text ", base64.StdEncoding.EncodeToString([]byte(canary)), "u:" + canary}
	for range 2000 {
		var in []byte
		for range rnd.IntN(12) {
			in = append(in, pieces[rnd.IntN(len(pieces))]...)
		}
		want, _ := g.find.replace(in)
		s := scan{a: g.find}
		var got []byte
		for rest := in; len(rest) > 0; {
			n := 1 + rnd.IntN(len(rest))
			got = s.feed(got, rest[:n])
			rest = rest[n:]
		}
		got = s.flush(got)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q: %q in pieces, %q whole", in, got, want)
		}
		if bytes.Contains(got, []byte(canary)) {
			t.Fatalf("%q holds the secret", got)
		}
		if clean := bytes.ReplaceAll(in, nil, nil); s.hits == 0 && !bytes.Equal(clean, got) {
			t.Fatalf("%q became %q", in, got)
		}
	}
}

// hostile 112
func TestScrubHeader(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	h := http.Header{"Set-Cookie": {"a=" + canary, "b=c"}, "Location": {"https://x/?t=" + url.QueryEscape(canary)}, "X-" + canary: {"x"}, "Ok": {"fine"}}
	if n := g.ScrubHeader(h); n != 3 || len(h) != 3 || strings.Contains(fmt.Sprint(h), canary) || strings.Contains(fmt.Sprint(h), url.QueryEscape(canary)) {
		t.Error(n, h)
	}
}

// A rotated secret is looked for until it is three versions old.
func TestRotation(t *testing.T) {
	src := &fixed{v: "first-secret-value", n: 1}
	b := binding(t, "a", Place{Kind: Bearer})
	b.Source = src
	s := store(t, b)
	src.v, src.n = "second-secret-value", 2
	g, err := s.Grant(t.Context(), target(t, "api.example.com:443"), asked("a"))
	if err != nil || g.Uses()[0].Version != "2" {
		t.Fatal(err)
	}
	if got := s.RedactString("first-secret-value second-secret-value"); got != "[REDACTED:a] [REDACTED:a]" {
		t.Error(got)
	}
}

// hostile 130, 160: no way of printing shows the value.
func TestSecretIsNotPrinted(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	sec := g.items[0].v.Secret
	type holder struct {
		S Secret
		P *Secret
		M map[string]Secret
	}
	h := holder{sec, &sec, map[string]Secret{"a": sec}}
	var out bytes.Buffer
	for _, v := range []any{sec, &sec, h, &h, g.items[0].b, g.items[0].v} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		b, _ := json.Marshal(v)
		out.Write(b)
	}
	lg := zerolog.New(&out)
	lg.Info().Object("s", sec).Interface("h", h).Any("s2", sec).Send()
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(sec)
	}()
	if !strings.Contains(out.String(), "REDACTED") {
		t.Error("nothing was printed")
	}
	for _, form := range []string{canary, hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary))), "115 51 99", base64.StdEncoding.EncodeToString([]byte(canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("it is printed as %s", form)
		}
	}
}

func FuzzScrub(f *testing.F) {
	g := grant(f, binding(f, "a", Place{Kind: Bearer}))
	f.Add([]byte("x"+canary+"y"), 3)
	f.Add([]byte(canary[:12]+canary), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		want, _ := g.find.replace(in)
		s := scan{a: g.find}
		k := 0
		if len(in) > 0 {
			k = max(cut, 0) % len(in)
		}
		got := s.flush(s.feed(s.feed(nil, in[:k]), in[k:]))
		if !bytes.Equal(got, want) || bytes.Contains(got, []byte(canary)) {
			t.Fatalf("%q: %q, %q", in, got, want)
		}
	})
}

func BenchmarkScrub(b *testing.B) {
	g := grant(b, binding(b, "a", Place{Kind: Bearer}))
	text := bytes.Repeat([]byte(`{"id": 12345, "name": "an ordinary answer", "items": [1, 2, 3]},`), 512)
	s := scan{a: g.find}
	dst := make([]byte, 0, len(text)+64)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst = s.feed(dst[:0], text)
	}
}
