package views

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"sallyport/policy"
)

var everything = Wants{Body: true, View: policy.ViewForm | policy.ViewMultipart | policy.ViewGraphQL | policy.ViewRPC}

// seen is what is known of a body, as one line.
func seen(contentType string, codings []string, query map[string][]string, body string) string {
	f := &policy.RequestFacts{ContentType: contentType, Query: query}
	Read(f, codings, []byte(body), everything)
	out := string(f.BodyState)
	add := func(name string, known bool, v any) {
		if known {
			b, _ := json.Marshal(v)
			out += fmt.Sprintf(" %s=%s", name, b)
		}
	}
	add("form", f.Form != nil, f.Form)
	for _, p := range f.Multipart {
		if p.Value != nil {
			out += fmt.Sprintf(" %s=%q", p.Name, *p.Value)
		} else {
			out += fmt.Sprintf(" %s(%q %v %s %d)", p.Name, p.Filename, p.IsFile, p.ContentType, p.Size)
		}
	}
	if f.Multipart != nil && len(f.Multipart) == 0 {
		out += " multipart=[]"
	}
	for _, o := range f.GraphQL {
		out += fmt.Sprintf(" %s:%s%v", o.Type, o.Name, o.Fields)
	}
	for _, c := range f.RPC {
		out += fmt.Sprintf(" %s:%s(%s)", c.Kind, c.Method, c.Tool)
	}
	if f.Hidden != 0 {
		out += " hidden"
	}
	return out
}

// What is not JSON in one way is not read (hostile 83).
func TestJSON(t *testing.T) {
	for _, c := range []struct {
		body string
		ok   bool
	}{
		{`{"a": 1}`, true}, {` [1, "x", null, true] `, true}, {`"\ud83d\ude00"`, true}, {`"\\ud800"`, true}, {`"\"\u0041"`, true},
		{`{"a": 1, "a": 2}`, false}, {`{"a": 1, "\u0061": 2}`, false}, {`{"a": 1} {"b": 2}`, false}, {`{"a": 1,}`, false}, {`[1,]`, false}, {`[1 2]`, false}, {`{"a": 01}`, false},
		{`{'a': 1}`, false}, {"\ufeff{}", false}, {"{\"a\": \"\xff\"}", false}, {`"\ud800"`, false}, {`"\ude00"`, false}, {`"\ud800x"`, false}, {`"\ud800\n"`, false},
		{`"\ud800\ud800\udc00"`, false}, {`{"a\ud800": 1}`, false}, {`1e999`, false}, {`NaN`, false}, {`// x` + "\n1", false}, {"{\"a\":1}\x00", false}, {"", false},
		{strings.Repeat("[", 64) + strings.Repeat("]", 64), true}, {strings.Repeat("[", 66) + strings.Repeat("]", 66), false},
		{`{"model": "a", "Model": "b"}`, false}, {`{"s": 1, "\u017f": 2}`, false}, {`{"K": 1, "\u212a": 2}`, false}, {`[{"a": 1}, {"A": 2}]`, true},
	} {
		if _, ok := JSON([]byte(c.body)); ok != c.ok {
			t.Errorf("%.60q: read %v", c.body, ok)
		}
	}
}

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zl(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func br(s string) string {
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zs(s string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(s), nil))
}

// streamed is how a program compresses that does not know how much will come.
func streamed(s string) string {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func raw(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// Codings are undone where there is one way to do it (hostile 82).
func TestCodings(t *testing.T) {
	const text = `{"method": "ping", "id": 1}`
	const known = "parsed request:ping()"
	large := `{"x": "` + strings.Repeat("a", Limit) + `"}`
	skippable := "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
	for name, c := range map[string]struct {
		codings []string
		body    string
		want    string
	}{
		"none":                         {nil, text, known},
		"identity":                     {[]string{"identity"}, text, known},
		"gzip":                         {[]string{"gzip"}, gz(text), known},
		"x-gzip, as it is called":      {[]string{"X-GZIP"}, gz(text), known},
		"zlib":                         {[]string{"deflate"}, zl(text), known},
		"brotli":                       {[]string{"br"}, br(text), known},
		"zstd":                         {[]string{"zstd"}, zs(text), known},
		"zstd, streamed":               {[]string{"zstd"}, streamed(text), known},
		"one in another":               {[]string{"br, gzip"}, gz(br(text)), known},
		"in two fields":                {[]string{"br", "gzip"}, gz(br(text)), known},
		"gzip twice":                   {[]string{"gzip, gzip"}, gz(gz(text)), known},
		"gzip twice, said once":        {[]string{"gzip"}, gz(gz(text)), "unparsed"},
		"gzip once, said twice":        {[]string{"gzip, gzip"}, gz(text), "unparsed"},
		"the other order":              {[]string{"gzip, br"}, gz(br(text)), "unparsed"},
		"three":                        {[]string{"gzip, gzip, gzip"}, gz(gz(gz(text))), "unparsed"},
		"not said":                     {nil, gz(text), "unparsed"},
		"said of what is plain":        {[]string{"gzip"}, text, "unparsed"},
		"unknown":                      {[]string{"aws-chunked"}, text, "unparsed"},
		"deflate without its head":     {[]string{"deflate"}, raw(text), "unparsed"},
		"a second member":              {[]string{"gzip"}, gz(text) + gz(" "), "unparsed"},
		"something behind gzip":        {[]string{"gzip"}, gz(text) + "x", "unparsed"},
		"something behind zlib":        {[]string{"deflate"}, zl(text) + "x", "unparsed"},
		"something behind brotli":      {[]string{"br"}, br(text) + "x", "unparsed"},
		"much behind brotli":           {[]string{"br"}, br(text) + strings.Repeat("x", 40<<10), "unparsed"},
		"a second frame of zstd":       {[]string{"zstd"}, zs(text) + zs(" "), "unparsed"},
		"a frame to be skipped":        {[]string{"zstd"}, skippable + zs(text), "unparsed"},
		"a frame to be skipped behind": {[]string{"zstd"}, zs(text) + skippable, "unparsed"},
		"cut off":                      {[]string{"gzip"}, gz(text)[:20], "unparsed"},
		"a bomb of gzip":               {[]string{"gzip"}, gz(large), "truncated"},
		"a bomb of zlib":               {[]string{"deflate"}, zl(large), "truncated"},
		"a bomb of brotli":             {[]string{"br"}, br(large), "truncated"},
		"a bomb of zstd":               {[]string{"zstd"}, zs(large), "truncated"},
		"a bomb of streamed zstd":      {[]string{"zstd"}, streamed(large), "truncated"},
		"a bomb in a bomb":             {[]string{"gzip, gzip"}, gz(gz(strings.Repeat(large, 100))), "truncated"},
		"a giant bomb of zstd":         {[]string{"zstd"}, streamed(strings.Repeat(large, 500)), "truncated"},
		"a wide window of brotli":      {[]string{"br"}, "\x0f" + br(text)[1:], "unparsed"},
		"nothing":                      {nil, "", "none"},
		"nothing, coded":               {[]string{"gzip"}, "", "unparsed"},
		"too long":                     {nil, large, "truncated"},
	} {
		if got := seen("application/json", c.codings, nil, c.body); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A stream that a server which undoes nothing would read as a text is not undone:
// "5" is an empty stream of brotli, and the name of a field.
func TestReadableCodings(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	if got := seen(form, []string{"br"}, nil, "5"); got != "unparsed" {
		t.Error(got)
	}
	// What stands in the head of a stream is a form to a server that undoes nothing.
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Extra = []byte("&role=admin&z=")
	_, _ = w.Write([]byte("role=user"))
	_ = w.Close()
	if got := seen(form, []string{"gzip"}, nil, b.String()); got != "unparsed" {
		t.Error(got)
	}
	b.Reset()
	w = gzip.NewWriter(&b)
	w.Extra = []byte("\r\n--m\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nadmin\r\n--m--\r\n")
	_, _ = w.Write([]byte("--m\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\nuser\r\n--m--\r\n"))
	_ = w.Close()
	if got := seen("multipart/form-data; boundary=m", []string{"gzip"}, nil, b.String()); got != "unparsed" {
		t.Error(got)
	}
}
