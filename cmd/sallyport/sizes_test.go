package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/admin"
	"sallyport/origin"
)

// A tenant is not taken for the one whose number is next, wherever its property
// comes from, and over a restart: hostile 279.
func TestPropertiesKeepTheirDigits(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		base := filepath.Dir(p.dir)
		dir, sock := filepath.Join(base, "policies", "tenant"), filepath.Join(base, "run", "tenant.sock")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte("package egress\n\nallow if input.sandbox.props.tenant == 9007199254740993\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		owner := p.who.uid
		if owner == 0 {
			owner = os.Getuid()
		}
		more := fmt.Sprintf("sandboxes: [{name: told, policy: [tenant], props: {tenant: 9007199254740993}, explicit: {socket: %s, user: %d}}]\n", sock, owner)
		s := p.sidecar(t, "")
		s.anew(t, func(text string) string {
			return strings.Replace(text, "policies:\n", "policies:\n  - {name: tenant, dir: policies/tenant}\n", 1) + more
		})
		ask := func(want string) {
			t.Helper()
			c, err := net.Dial("unix", sock)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "GET http://api.example.com:%[1]d/echo HTTP/1.1\r\nHost: api.example.com:%[1]d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)
			if out, err := io.ReadAll(c); !strings.HasPrefix(string(out), "HTTP/1.1 "+want) {
				t.Errorf("want %s: %s %v", want, out, err)
			}
		}
		ask("200")
		patch := func(id string) {
			t.Helper()
			if out := said(t, s.control, "PATCH", "/v1/sandboxes/told", `{"props":{"tenant":`+id+`}}`); !strings.Contains(out, `"tenant":`+id) {
				t.Errorf("%s", out)
			}
		}
		patch("9007199254740992")
		ask("403")
		patch("9007199254740993")
		ask("200")
		if out := said(t, s.control, "POST", "/v1/sandboxes", `{"name":"kept","way":"join","props":{"tenant":9007199254740993}}`); !strings.HasPrefix(out, "201") {
			t.Error(out)
		}
		s.stop()
		s.begin()
		if out := said(t, s.control, "GET", "/v1/sandboxes/kept", ""); !strings.Contains(out, `"tenant":9007199254740993`) {
			t.Errorf("after a restart: %s", out)
		}
		if out := p.exec("sandbox", "show", "kept", "--control", s.control); !strings.Contains(out.stdout, "9007199254740993") {
			t.Errorf("%+v", out)
		}
		s.stop()
	})
}

// Nobody who may command makes each record and decision of a sandbox as large as
// they like, or puts something into it that is no text: hostile 280.
func TestLabelsAndPropertiesAreBounded(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	if _, err := client.Create(t.Context(), admin.Create{Name: "one", Way: "join"}); err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint("k", i)] = "v"
	}
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for _, c := range []struct{ name, patch, want string }{
		{"a label without a name", `{"labels":{"":"x"}}`, `the label \"\" is not one`},
		{"a label of control characters", `{"labels":{"a\u0000b":"x"}}`, "is not one"},
		{"a value with an escape", `{"labels":{"team":"\u001b[2J"}}`, "no value that it can have"},
		{"a long value", `{"labels":{"team":"` + strings.Repeat("x", 1025) + `"}}`, "no value that it can have"},
		{"a long name", `{"labels":{"` + strings.Repeat("x", 129) + `":""}}`, "is not one"},
		{"large properties", `{"props":{"a":"` + strings.Repeat("x", 70000) + `"}}`, "65536 is the most"},
		{"deep properties", `{"props":{"a":` + deep + `}}`, "deeper than 32"},
		{"a number that is none", `{"props":{"a":[1e999999999]}}`, "is too large"},
		{"a number of many digits", `{"props":{"a":` + strings.Repeat("9", 65) + `}}`, "is too large"},
	} {
		if out := said(t, s.control, "PATCH", "/v1/sandboxes/one", c.patch); !strings.HasPrefix(out, "400") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %.300s", c.name, out)
		}
	}
	if _, err := client.Create(t.Context(), admin.Create{Name: "two", Way: "join", Labels: many}); err == nil || !strings.Contains(err.Error(), "64 is the most") {
		t.Errorf("many labels: %v", err)
	}
	if out := said(t, s.control, "PATCH", "/v1/sandboxes/one", `{"labels":{"team":"`+strings.Repeat("ü", 512)+`"},"props":{"n":-1.5e300,"t":"a\nb"}}`); !strings.HasPrefix(out, "200") {
		t.Errorf("what fits: %s", out)
	}
	s.stop()
}
