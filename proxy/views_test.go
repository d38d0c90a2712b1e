package proxy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"sallyport/origin"
)

// coded is a text in a coding of HTTP.
func coded(t *testing.T, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const viewing = `package egress

allow := true

deny contains "no_mutations" if {
	input.request.path == "/graphql"
	some op in input.request.graphql
	op.type == "mutation"
}

deny contains "no_deleting" if {
	input.request.path == "/graphql"
	some op in input.request.graphql
	some f in op.fields
	startswith(f, "delete")
}

deny contains "no_tool" if {
	input.request.path == "/mcp"
	some c in input.request.rpc
	c.tool == "rm"
}

deny contains "no_admin" if {
	input.request.path == "/form"
	"admin" in input.request.form.role
}

deny contains "no_programs" if {
	input.request.path == "/upload"
	some p in input.request.multipart
	endswith(p.filename, ".sh")
}

deny contains "no_field" if {
	input.request.path == "/upload"
	some p in input.request.multipart
	p.name == "role"
	p.value == "admin"
}
`

// hostile 82, 83: whatever a body hides what it asks in, the policy sees it, or the
// request is refused as uncertain; what passes arrives as it was sent.
func TestBodiesAreSeen(t *testing.T) {
	r := newRig(t, rigging{policy: viewing, origin: origin.Options{HTTP1: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Coding", r.Header.Get("Content-Encoding"))
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		_, _ = w.Write(b)
	})}})
	const (
		kill  = `{"query": "mutation { deleteAll }"}`
		read  = `{"query": "{ me }"}`
		ls    = `{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ls"}}`
		rm    = `{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "rm"}}`
		js    = "application/json"
		www   = "application/x-www-form-urlencoded"
		multi = "multipart/form-data; boundary=b"
	)
	file := func(name string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + name + "\"\r\n\r\nx\r\n--b--\r\n"
	}
	for name, c := range map[string]struct {
		path, kind, coding, body string
		want                     string // a code; "" is forwarded
	}{
		"a query":                          {"/graphql", js, "", read, ""},
		"a query in gzip":                  {"/graphql", js, "gzip", coded(t, "gzip", read), ""},
		"a query in gzip twice":            {"/graphql", js, "gzip, gzip", coded(t, "gzip", coded(t, "gzip", read)), ""},
		"a mutation":                       {"/graphql", js, "", kill, "no_deleting"},
		"a mutation in gzip":               {"/graphql", js, "gzip", coded(t, "gzip", kill), "no_deleting"},
		"a mutation in brotli":             {"/graphql", js, "br", coded(t, "br", kill), "no_deleting"},
		"a mutation in zstd":               {"/graphql", js, "zstd", coded(t, "zstd", kill), "no_deleting"},
		"a mutation in gzip twice":         {"/graphql", js, "gzip, gzip", coded(t, "gzip", coded(t, "gzip", kill)), "no_deleting"},
		"in gzip twice, said once":         {"/graphql", js, "gzip", coded(t, "gzip", coded(t, "gzip", kill)), "uncertain"},
		"in gzip once, said twice":         {"/graphql", js, "gzip, gzip", coded(t, "gzip", kill), "uncertain"},
		"in gzip, not said":                {"/graphql", js, "", coded(t, "gzip", kill), "uncertain"},
		"plain, said to be gzip":           {"/graphql", js, "gzip", kill, "uncertain"},
		"behind a query in gzip":           {"/graphql", js, "gzip", coded(t, "gzip", read) + coded(t, "gzip", kill), "uncertain"},
		"a bomb":                           {"/graphql", js, "gzip", coded(t, "gzip", `{"query": "{ me }", "x": "`+strings.Repeat("x", 1<<20)+`"}`), "uncertain"},
		"in a coding that nobody knows":    {"/graphql", js, "x-none", kill, "uncertain"},
		"a mutation in a batch":            {"/graphql", js, "", "[" + read + "," + kill + "]", "no_deleting"},
		"a batch in a batch":               {"/graphql", js, "", "[[" + kill + "]]", "uncertain"},
		"by another name":                  {"/graphql", js, "", `{"query": "mutation { me: removeAll }"}`, "no_mutations"},
		"by a fragment":                    {"/graphql", js, "", `{"query": "{ ...F } fragment F on Query { deleteAll }"}`, "no_deleting"},
		"by the second of two":             {"/graphql", js, "", `{"query": "query A { me } mutation B { x }", "operationName": "B"}`, "no_mutations"},
		"by neither of two":                {"/graphql", js, "", `{"query": "query A { me } mutation B { x }"}`, "uncertain"},
		"a query twice":                    {"/graphql", js, "", `{"query": "{ me }", "query": "mutation { x }"}`, "uncertain"},
		"a query twice, escaped":           {"/graphql", js, "", `{"query": "{ me }", "qu\u0065ry": "mutation { x }"}`, "uncertain"},
		"a query in other letters":         {"/graphql", js, "", `{"query": "{ me }", "QUERY": "mutation { x }"}`, "uncertain"},
		"a document that is kept":          {"/graphql", js, "", `{"documentId": "kill"}`, "uncertain"},
		"as a form":                        {"/graphql", www, "", "query=mutation%7Bx%7D", "no_mutations"},
		"as a document":                    {"/graphql", "application/graphql", "", "mutation { x }", "no_mutations"},
		"as a text":                        {"/graphql", "text/plain", "", kill, "uncertain"},
		"as nothing":                       {"/graphql", "", "", kill, "uncertain"},
		"as JSON in UTF-16":                {"/graphql", js + "; charset=utf-16", "", kill, "uncertain"},
		"in the query":                     {"/graphql?query=mutation%7Bx%7D", js, "", "", "no_mutations"},
		"in the query, beside a body":      {"/graphql?query=mutation%7Bx%7D", js, "", read, "uncertain"},
		"a tool":                           {"/mcp", js, "", ls, ""},
		"another tool":                     {"/mcp", js, "", rm, "no_tool"},
		"another tool in a batch":          {"/mcp", js, "", "[" + ls + "," + rm + "]", "no_tool"},
		"a tool twice":                     {"/mcp", js, "", `{"method": "tools/call", "params": {"name": "ls", "name": "rm"}}`, "uncertain"},
		"a tool in other letters":          {"/mcp", js, "", `{"method": "tools/call", "params": {"name": "ls", "NAME": "rm"}}`, "uncertain"},
		"a method in other letters":        {"/mcp", js, "", `{"method": "ping", "Method": "tools/call", "params": {"name": "rm"}}`, "uncertain"},
		"a form":                           {"/form", www, "", "role=user", ""},
		"another form":                     {"/form", www, "", "role=user&role=admin", "no_admin"},
		"another form, escaped":            {"/form", www, "", "r%6fle=adm%69n", "no_admin"},
		"a form in gzip":                   {"/form", www, "gzip", coded(t, "gzip", "role=admin"), "uncertain"},
		"a form in another charset":        {"/form", www + "; charset=ibm037", "", "role=user", "uncertain"},
		"a form that says its charset":     {"/form", www, "", "role=user&_charset_=ibm037", "uncertain"},
		"a form as JSON":                   {"/form", js, "", `{"role": "admin"}`, "uncertain"},
		"a form that is nothing by brotli": {"/form", www, "br", "5", "uncertain"},
		"a file":                           {"/upload", multi, "", file("x.txt"), ""},
		"a program":                        {"/upload", multi, "", file("x.sh"), "no_programs"},
		"a program in gzip":                {"/upload", multi, "gzip", coded(t, "gzip", file("x.sh")), "uncertain"},
		"a program, named twice":           {"/upload", multi, "", file("x.txt\"; filename=\"x.sh"), "uncertain"},
		"a program before the beginning":   {"/upload", multi, "", strings.TrimSuffix(file("x.sh"), "--b--\r\n") + "--b--\r\n" + file("x.txt"), "uncertain"},
		"a program by another mark":        {"/upload", multi + "; boundary=c", "", file("x.txt"), "uncertain"},
		"a field in another charset":       {"/upload", multi, "", "--b\r\nContent-Disposition: form-data; name=\"role\"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\nadmin\r\n--b--\r\n", "uncertain"},
		"a field in base64":                {"/upload", multi, "", "--b\r\nContent-Disposition: form-data; name=\"role\"\r\nContent-Transfer-Encoding: base64\r\n\r\nYWRtaW4=\r\n--b--\r\n", "uncertain"},
		"a field behind line feeds":        {"/upload", multi, "", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\n--b\nContent-Disposition: form-data; name=\"role\"\n\nadmin\r\n--b--\r\n", "uncertain"},
	} {
		req, err := http.NewRequest("POST", "https://"+r.at("api.example.com")+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.body == "" {
			req.Method = "GET"
		}
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		if c.coding != "" {
			req.Header.Set("Content-Encoding", c.coding)
		}
		s := r.send(t, false, req)
		switch {
		case c.want == "" && (s.status != 200 || s.body != c.body || s.header.Get("X-Coding") != c.coding || s.header.Get("X-Length") != fmt.Sprint(len(c.body))):
			t.Errorf("%s: %d %.200s", name, s.status, s.body)
		case c.want != "" && (s.status != 403 || s.code != c.want):
			t.Errorf("%s: %d %.200s, want %s", name, s.status, s.body, c.want)
		}
	}
}

// A body is not waited for, nor anything of it recorded, where no rule can read it.
func TestBodiesAreNotRecorded(t *testing.T) {
	r := newRig(t, rigging{policy: viewing})
	for _, c := range [][3]string{
		{"/form", "application/x-www-form-urlencoded", "role=canary-42"},
		{"/upload", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"role\"\r\n\r\ncanary-42\r\n--b--\r\n"},
		{"/mcp", "application/json", `{"method": "ping", "id": "canary-42", "params": {"name": "canary-42"}}`},
	} {
		s := r.ask(t, false, "POST", c[0], c[1], c[2])
		got := r.found(map[string]string{"event.id": s.id})
		if s.status != 200 || len(got) != 1 || bytes.Contains(got[0].Line, []byte("canary")) || !bytes.Contains(got[0].Line, []byte("redacted")) {
			t.Errorf("%s: %d %s", c[0], s.status, s.body)
		}
	}
}
