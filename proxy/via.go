package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// Bounds of what an operator's service is told.
const (
	maxContext     = 16 << 10 // bytes of the field
	signatureValid = time.Minute
)

// viaContext is what an operator's service is told of a request, in JSON.
type viaContext struct {
	V        int `json:"v"` // 1
	Decision struct {
		ID     string   `json:"id"` // of the record
		Policy string   `json:"policy,omitempty"`
		Tags   []string `json:"tags,omitempty"`
	} `json:"decision"`
	Sandbox struct {
		ID     string            `json:"id"`
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
		Props  map[string]any    `json:"props,omitempty"`
	} `json:"sandbox"`
	Destination struct {
		Scheme string `json:"scheme"`
		Host   string `json:"host"`
		Port   uint16 `json:"port"`
	} `json:"destination"`
	Created int64  `json:"created"` // seconds
	Nonce   string `json:"nonce"`
}

// told are the fields that say who asks: none of them comes from a sandbox.
var told = map[string]bool{"Sallyport-Context": true, "Signature": true, "Signature-Input": true, "Forwarded": true}

// context makes what the operator's service is told, and takes off what a client
// says in its place.
func (x *exchange) context() error {
	for k := range x.r.Header {
		if told[textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(k, "_", "-"))] {
			delete(x.r.Header, k)
		}
	}
	var c viaContext
	sb := x.ward.sb
	c.V, c.Created, c.Nonce = 1, time.Now().Unix(), rand.Text()
	c.Decision.ID, c.Decision.Policy, c.Decision.Tags = x.id, x.decision.Policy, x.decision.Audit.Tags
	c.Sandbox.ID, c.Sandbox.Name, c.Sandbox.Labels, c.Sandbox.Props = sb.ID, sb.Name, sb.Labels, sb.Props
	c.Destination.Scheme, c.Destination.Host, c.Destination.Port = x.scheme, x.target.Host().String(), x.target.Port()
	b, err := json.Marshal(c)
	if err == nil && base64.StdEncoding.EncodedLen(len(b)) > maxContext {
		err = fmt.Errorf("%d bytes of JSON", len(b))
	}
	if err != nil {
		return refuse(http.StatusForbidden, "context_too_large", "what is known of this sandbox is too much for a header").because(err)
	}
	x.told = ":" + base64.StdEncoding.EncodeToString(b) + ":"
	x.nonce, x.created = c.Nonce, c.Created
	return nil
}

// sign puts the context on a request and signs it: RFC 9421, with hmac-sha256.
// Content-Digest (RFC 9530) is there when the body is known whole.
func (x *exchange) sign(out *http.Request) {
	out.Header.Set("Sallyport-Context", x.told)
	out.Header.Set("Forwarded", fmt.Sprintf(`host="%s";proto=%s`, x.target.Authority(x.scheme), x.scheme))
	fields := [][2]string{
		{"@method", out.Method}, {"@authority", strings.ToLower(out.Host)}, {"@path", x.prefix + x.facts.PathRaw}, {"@query", "?" + out.URL.RawQuery},
		{"sallyport-context", out.Header.Get("Sallyport-Context")}, {"forwarded", out.Header.Get("Forwarded")},
	}
	if x.body == nil || x.whole != nil {
		sum := sha256.Sum256(x.whole)
		out.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		fields = append(fields, [2]string{"content-digest", out.Header.Get("Content-Digest")})
	}
	var base, names strings.Builder
	for i, f := range fields {
		if i > 0 {
			names.WriteByte(' ')
		}
		fmt.Fprintf(&names, "%q", f[0])
		fmt.Fprintf(&base, "%q: %s\n", f[0], f[1])
	}
	params := fmt.Sprintf(`(%s);created=%d;expires=%d;nonce=%q;keyid=%q;alg="hmac-sha256";tag="sallyport"`,
		&names, x.created, x.created+int64(signatureValid/time.Second), x.nonce, x.over.Key.ID())
	fmt.Fprintf(&base, `"@signature-params": %s`, params)
	out.Header.Set("Signature-Input", "sallyport="+params)
	out.Header.Set("Signature", "sallyport=:"+base64.StdEncoding.EncodeToString(x.over.Key.Sign([]byte(base.String())))+":")
}

// viaName is what a record calls the operator's service.
func (x *exchange) viaName() string {
	if x.over == nil {
		return ""
	}
	return x.fscheme + "://" + x.final.Authority(x.fscheme)
}

// within reports whether the operator named where this goes, so that its address
// may be any.
func (x *exchange) within() bool { return x.binding || x.over != nil }
