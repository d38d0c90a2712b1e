package canon

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hostile 76
func TestPath(t *testing.T) {
	for _, c := range []struct {
		raw, path string
		segments  []string
		remark    string
	}{
		{"/", "/", []string{""}, ""},
		{"/a/b", "/a/b", []string{"a", "b"}, ""},
		{"/a%20b/c", "/a b/c", []string{"a b", "c"}, ""},
		{"/a%2Fb/c", "/a%2Fb/c", []string{"a/b", "c"}, "an encoded slash separates nothing"},
		{"/a%2fb", "/a%2Fb", []string{"a/b"}, ""},
		{"//a//b", "//a//b", []string{"", "a", "", "b"}, "empty segments are kept"},
		{"/b%C3%BCcher", "/bücher", []string{"bücher"}, ""},
		{"/a;v=1", "/a;v=1", []string{"a;v=1"}, "a semicolon is a character"},
		{"/100%25", "/100%", []string{"100%"}, "a percent sign"},
		{"/a/../b", "", nil, "dot segment"},
		{"/a/..", "", nil, "dot segment"},
		{"/./a", "", nil, "dot segment"},
		{"/%2e%2e/a", "", nil, "encoded dot segment"},
		{"/.%2E/a", "", nil, "half encoded"},
		{"/a/..;x=1/b", "", nil, "dot segment with a parameter"},
		{"/a%2F..%2Fb", "", nil, "dot segment between encoded slashes"},
		{"/a\\b", "", nil, "backslash"},
		{"/a%5cb", "", nil, "encoded backslash"},
		{"/a%00", "", nil, "NUL"},
		{"/a%0d%0ab", "", nil, "CR LF"},
		{"/a%7f", "", nil, "DEL"},
		{"/%252e%252e/a", "", nil, "encoded twice"},
		{"/%25%32%65%25%32%65/a", "", nil, "encoded twice, digit by digit"},
		{"/a%25%32%46b", "", nil, "an encoded slash, encoded twice"},
		{"/a%252", "/a%2", []string{"a%2"}, "a percent sign and a digit"},
		{"/public%2F..;x/admin", "", nil, "dot segment with a parameter behind an encoded slash"},
		{"/%c0%ae%c0%ae/a", "", nil, "overlong UTF-8"},
		{"/%ff", "", nil, "not UTF-8"},
		{"/a%zz", "", nil, "bad escape"},
		{"/a%2", "", nil, "cut escape"},
		{"/a b", "", nil, "space"},
		{"/a#b", "", nil, "hostile 72: fragment"},
		{"/bücher", "", nil, "raw UTF-8"},
		{"", "", nil, "hostile 72: empty"},
		{"a", "", nil, "no slash"},
	} {
		path, segments, err := Path(c.raw)
		if (err == nil) != (c.segments != nil) || path != c.path && err == nil || !slices.Equal(segments, c.segments) && err == nil {
			t.Errorf("Path(%q) = %q %q %v; want %q %q (%s)", c.raw, path, segments, err, c.path, c.segments, c.remark)
		}
	}
}

// hostile 77
func TestQuery(t *testing.T) {
	q, err := Query("a=1&b=x+y&a=2&c")
	if err != nil || strings.Join(q["a"], ",") != "1,2" || q["b"][0] != "x y" || q["c"][0] != "" {
		t.Fatal(q, err)
	}
	for _, bad := range []string{"a=1;b=2", "a=%zz", "a=%ff", "a b", "a=\x00", "%00=1", "a=ü", strings.Repeat("a&", 1000)} {
		if q, err := Query(bad); err == nil {
			t.Errorf("Query(%.20q) = %v", bad, q)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		h      http.Header
		ok     bool
		remark string
	}{
		{http.Header{"Accept": {"a", "b"}}, true, ""},
		{http.Header{"Authorization": {"Bearer a"}}, true, ""},
		{http.Header{"Authorization": {`Digest username="a", realm="b"`}}, true, "a scheme with parameters"},
		{http.Header{"Authorization": {"Bearer a", "Bearer b"}}, false, "hostile 80"},
		{http.Header{"Authorization": {"Bearer a, Bearer b"}}, false, "hostile 80"},
		{http.Header{"Content-Length": {"5", "6"}}, false, "hostile 58"},
		{http.Header{"Content-Length": {"5,5"}}, false, "hostile 57, 354"},
		{http.Header{"Content-Type": {"a/b", "c/d"}}, false, "hostile 80"},
		{http.Header{"A": {"a\x00"}}, false, "hostile 59"},
		{http.Header{"A b": {"a"}}, false, "hostile 59"},
		{http.Header{"A": {"grün"}}, true, ""},
		{http.Header{"A": {"a\xff"}}, false, "hostile 350"},
		{http.Header{"A": {"a\xc0\xae"}}, false, "hostile 350"},
		{http.Header{"A": {" a"}}, false, "hostile 351"},
		{http.Header{"A": {"a\t"}}, false, "hostile 351"},
		{http.Header{"User-Agent": {"a", "b"}}, false, "hostile 353"},
		{http.Header{"Content-Length": {"5"}}, true, ""},
		{http.Header{"Content-Length": {"0"}}, true, ""},
		{http.Header{"Content-Length": {"+5"}}, false, "hostile 354"},
		{http.Header{"Content-Length": {"05"}}, false, "hostile 354"},
		{http.Header{"Content-Length": {""}}, false, "hostile 354"},
	} {
		if err := Headers(c.h); (err == nil) != c.ok {
			t.Errorf("%v: %v (%s)", c.h, err, c.remark)
		}
	}
}

// hostile 352
func TestDelete(t *testing.T) {
	h := http.Header{"X-Tenant-Id": {"1"}, "X_tenant_id": {"2"}, "X_TENANT_ID": {"3"}, "x.tenant.id": {"4"}, "X-Tenant_id": {"5"}, "X-Tenant-Id2": {"6"}, "Xtenantid": {"7"}}
	Delete(h, "X-Tenant-Id")
	if want := (http.Header{"X-Tenant-Id2": {"6"}, "Xtenantid": {"7"}}); !equal(h, want) {
		t.Errorf("%v is left", h)
	}
}

func TestStripRequest(t *testing.T) {
	for _, c := range []struct {
		in, want http.Header
		remark   string
	}{
		{http.Header{"Connection": {"X-Foo, keep-alive"}, "X-Foo": {"1"}, "Keep-Alive": {"1"}, "A": {"1"}}, http.Header{"A": {"1"}}, "hostile 64: nominated"},
		{http.Header{"Connection": {"Authorization"}, "Authorization": {"x"}}, nil, "hostile 64: shielded"},
		{http.Header{"Connection": {"close, transfer-encoding"}}, nil, "hostile 64: shielded"},
		{http.Header{"X-Forwarded-For": {"1"}, "X_forwarded_for": {"1"}, "Forwarded": {"1"}, "X-Real-Ip": {"1"}, "X_real_ip": {"1"}}, http.Header{}, "hostile 79"},
		{http.Header{"X-Original-Url": {"/admin"}, "X-Rewrite-Url": {"/admin"}}, http.Header{}, "hostile 79"},
		{http.Header{"X-Http-Method-Override": {"DELETE"}, "X-Http-Method": {"DELETE"}, "X-Method-Override": {"DELETE"}}, http.Header{}, "hostile 78"},
		{http.Header{"Proxy-Authorization": {"x"}, "Proxy-Foo": {"x"}}, http.Header{}, "hostile 119"},
		{http.Header{"Te": {"trailers, deflate"}, "Content-Type": {"application/grpc+proto"}}, http.Header{"Te": {"trailers"}, "Content-Type": {"application/grpc+proto"}}, ""},
		{http.Header{"Te": {"trailers"}, "Content-Type": {"text/plain"}}, http.Header{"Content-Type": {"text/plain"}}, "hostile 92"},
		{http.Header{"Te": {"trailers"}, "Content-Type": {"application/grpc-web"}}, http.Header{"Content-Type": {"application/grpc-web"}}, "hostile 92"},
		{http.Header{"Te": {"trailers"}}, http.Header{}, "hostile 92"},
		{http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"x"}}, http.Header{}, "hostile 65"},
		{http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, ""},
	} {
		h := c.in.Clone()
		err := StripRequest(h)
		if (err == nil) != (c.want != nil) || err == nil && !equal(h, c.want) {
			t.Errorf("%v became %v, %v; want %v (%s)", c.in, h, err, c.want, c.remark)
		}
	}
}

// hostile 61
func TestTrailerForbidden(t *testing.T) {
	for name, want := range map[string]bool{"authorization": true, "Set-Cookie": true, "content-length": true, "Host": true, "X-Forwarded-For": true, "Grpc-Status": false, "X-Checksum": false} {
		if got := TrailerForbidden(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func equal(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if !slices.Equal(v, b[k]) {
			return false
		}
	}
	return true
}
