package proxy_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport/origin"
)

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}

// signed are two signatures of a request: of its target byte for byte, and as object
// stores want it (AWS Signature Version 4): of the raw path and the sorted raw query.
func signed(method, host, target, date string) (exact, canonical string) {
	exact = hex.EncodeToString(mac([]byte("a key"), method+"\n"+target))
	path, query, _ := strings.Cut(target, "?")
	params := strings.Split(query, "&")
	for i, p := range params {
		if p != "" && !strings.Contains(p, "=") {
			params[i] += "="
		}
	}
	slices.Sort(params)
	request := strings.Join([]string{method, path, strings.Join(params, "&"), "host:" + host, "x-amz-date:" + date, "", "host;x-amz-date", "UNSIGNED-PAYLOAD"}, "\n")
	sum := sha256.Sum256([]byte(request))
	scope := date[:8] + "/eu-central-1/s3/aws4_request"
	key := []byte("AWS4" + "a secret")
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	sig := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hex.EncodeToString(sum[:])}, "\n"))
	return exact, "AWS4-HMAC-SHA256 Credential=AKID/" + scope + ", SignedHeaders=host;x-amz-date, Signature=" + hex.EncodeToString(sig)
}

// What a client signed is what the server verifies, whatever HTTP each of them speaks:
// no byte of a path or a query is changed, and what could be read in two ways is refused.
func TestSignedPaths(t *testing.T) {
	const date = "20260102T030405Z"
	verify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exact, canonical := signed(r.Method, r.Host, r.RequestURI, r.Header.Get("X-Amz-Date"))
		if r.Header.Get("X-Exact") != exact || r.Header.Get("Authorization") != canonical {
			http.Error(w, "signature of "+r.RequestURI, http.StatusUnauthorized)
		}
	})
	for _, up := range []bool{true, false} {
		r := newRig(t, rigging{policy: "package egress\n\nallow if true\n", origin: origin.Options{HTTP1: !up, Handler: verify}})
		host := r.at("bucket.example.com")
		for _, down := range []bool{true, false} {
			ask := func(sent, target string) (status string) {
				exact, canonical := signed("GET", host, target, date)
				if down {
					c, err := r.tls("bucket.example.com", &tls.Config{NextProtos: []string{"h2"}})
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					return newH2Client(t, c).send([]string{":method: GET", ":scheme: https", ":authority: " + host, ":path: " + sent, "x-amz-date: " + date, "x-exact: " + exact, "authorization: " + canonical}, nil, nil).status
				}
				c, err := r.tls("bucket.example.com", &tls.Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Amz-Date: %s\r\nX-Exact: %s\r\nAuthorization: %s\r\n\r\n", sent, host, date, exact, canonical)
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(resp.StatusCode)
			}
			for _, target := range []string{"/a%2Fb/c", "/a%2fb", "//a//b/", "/a/", "/a;v=1/b;c", "/a+b%20c%2B", "/~u/%7Eu", "/%E2%82%AC", "/a...b/.c/d.", "/!$&'()*,:@=", "/?x", "/x?", "/?",
				"/k?z=1&a=2&b=%3B&a=1&c", "/k?q=a+b&r=%2B%20&s=%2F/?", "/k?versionId=&prefix=a%2Fb&&list-type=2", "/k?e=%e2%82%ac&E=1"} {
				if got := ask(target, target); got != "200" {
					t.Errorf("h2 down %v up %v: %s: %s", down, up, target, got)
				}
			}
			for _, target := range []string{"/a/../b", "/a/%2e%2E/b", "/a/./b", "/a%5Cb", "/a%252Fb", "/k?a=1;b=2"} {
				if got := ask(target, target); got != "400" {
					t.Errorf("h2 down %v up %v: %s, which servers read differently: %s", down, up, target, got)
				}
			}
			if got := ask("/a%2fb", "/a%2Fb"); got != "401" {
				t.Errorf("the server verifies nothing: %s", got)
			}
		}
	}
}
