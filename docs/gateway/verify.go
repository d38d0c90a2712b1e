package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Context is what sallyport says of a request.
type Context struct {
	V        int `json:"v"`
	Decision struct {
		ID     string   `json:"id"` // of the record
		Policy string   `json:"policy"`
		Tags   []string `json:"tags"`
	} `json:"decision"`
	Sandbox struct {
		ID     string            `json:"id"`
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
		Props  map[string]any    `json:"props"`
	} `json:"sandbox"`
	Destination struct { // what the sandbox meant
		Scheme string `json:"scheme"`
		Host   string `json:"host"`
		Port   uint16 `json:"port"`
	} `json:"destination"`
	Created int64  `json:"created"`
	Nonce   string `json:"nonce"`
}

// fresh is how old a signature may be, and how far clocks may differ.
const fresh = time.Minute

// A verifier takes each signature once. It is safe for concurrent use.
type verifier struct {
	key []byte

	mu   sync.Mutex
	seen map[string]time.Time // nonces, until they would be refused anyway
}

func newVerifier(key []byte) *verifier { return &verifier{key: key, seen: map[string]time.Time{}} }

// input is Signature-Input as sallyport writes it.
var input = regexp.MustCompile(`^sallyport=(\(((?:"[a-z@-]+" ?)+)\);created=([0-9]+);expires=([0-9]+);nonce="([A-Z0-9]+)";keyid="[0-9a-f]+";alg="hmac-sha256";tag="sallyport")$`)

// needed is what a signature has to cover.
var needed = []string{"@method", "@authority", "@path", "@query", "sallyport-context", "forwarded"}

// verify returns the context of a request whose signature holds: RFC 9421.
func (v *verifier) verify(r *http.Request, body []byte) (*Context, error) {
	m := input.FindStringSubmatch(one(r, "Signature-Input"))
	if m == nil {
		return nil, errors.New("there is no signature of sallyport's")
	}
	params, names := m[1], strings.Fields(strings.ReplaceAll(m[2], `"`, ""))
	var base strings.Builder
	for _, n := range names {
		value, err := component(r, n)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&base, "%q: %s\n", n, value)
	}
	fmt.Fprintf(&base, `"@signature-params": %s`, params)
	h := hmac.New(sha256.New, v.key)
	h.Write([]byte(base.String()))
	got, err := bytesOf(strings.TrimPrefix(one(r, "Signature"), "sallyport="))
	if err != nil || !hmac.Equal(got, h.Sum(nil)) {
		return nil, errors.New("the signature does not hold")
	}
	for _, n := range needed {
		if !slices.Contains(names, n) {
			return nil, fmt.Errorf("the signature does not cover %s", n)
		}
	}
	if slices.Contains(names, "content-digest") {
		sum := sha256.Sum256(body)
		if one(r, "Content-Digest") != "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":" {
			return nil, errors.New("the body is not the one that was signed")
		}
	}
	created, _ := strconv.ParseInt(m[3], 10, 64)
	expires, _ := strconv.ParseInt(m[4], 10, 64)
	if err := v.once(m[5], time.Unix(created, 0), time.Unix(expires, 0)); err != nil {
		return nil, err
	}
	text, err := bytesOf(one(r, "Sallyport-Context"))
	if err != nil {
		return nil, err
	}
	c := &Context{}
	if err := json.Unmarshal(text, c); err != nil || c.V != 1 || c.Nonce != m[5] || c.Created != created {
		return nil, errors.New("the context is not one of this signature")
	}
	return c, nil
}

// once takes a nonce that is fresh and was not seen.
func (v *verifier) once(nonce string, created, expires time.Time) error {
	now := time.Now()
	if now.After(expires) || now.Sub(created) > fresh || created.Sub(now) > fresh {
		return errors.New("the signature is not of now")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, until := range v.seen {
		if now.After(until) {
			delete(v.seen, n)
		}
	}
	if _, twice := v.seen[nonce]; twice {
		return errors.New("the signature was used before")
	}
	v.seen[nonce] = created.Add(2 * fresh)
	return nil
}

// component is a part of a request as it is signed: RFC 9421, 2.
func component(r *http.Request, name string) (string, error) {
	switch name {
	case "@method":
		return r.Method, nil
	case "@authority":
		return strings.ToLower(r.Host), nil
	case "@path":
		path, _, _ := strings.Cut(r.RequestURI, "?") // as it came, byte for byte
		return path, nil
	case "@query":
		return "?" + r.URL.RawQuery, nil
	}
	if strings.HasPrefix(name, "@") || one(r, name) == "" {
		return "", fmt.Errorf("there is no %s to verify", name)
	}
	return one(r, name), nil
}

// one is a field that stands once, or "".
func one(r *http.Request, name string) string {
	if vs := r.Header.Values(name); len(vs) == 1 {
		return strings.TrimSpace(vs[0])
	}
	return ""
}

// bytesOf reads a byte sequence: RFC 9651, 3.3.5.
func bytesOf(s string) ([]byte, error) {
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, errors.New("a byte sequence stands between colons")
	}
	return base64.StdEncoding.DecodeString(s[1 : len(s)-1])
}
