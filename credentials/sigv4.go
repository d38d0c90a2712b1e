package credentials

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// A sigv4 place is the signature of AWS (SigV4): what the client signed with whatever
// key it was given is signed anew with ours. Service and region are those of the host
// and the configuration; what the client says of them is held to that.
type sigv4 struct {
	plain
	service string
	regions []string
	keyID   string // "" is what the source says of access_key_id
}

const (
	unsignedPayload   = "UNSIGNED-PAYLOAD"
	signedChunks      = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedChunksTrail = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

func (sigv4) String() string { return "header:Authorization" }

func (s sigv4) check() error {
	label := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if s.service == "" || strings.ContainsFunc(s.service, label) {
		return fmt.Errorf("%q is not a service of AWS, such as s3", s.service)
	}
	if len(s.regions) == 0 {
		return fmt.Errorf("sigv4 needs the regions that may be signed for")
	}
	for _, r := range s.regions {
		if r == "" || strings.ContainsFunc(r, label) {
			return fmt.Errorf("%q is not a region, such as eu-west-1", r)
		}
	}
	return nil
}

// sends is of the session token: the key itself goes nowhere.
func (sigv4) sends(v Value) bool {
	_, ok := v.Others["session_token"]
	return ok
}

// A signature is what the client said in its own.
type signature struct {
	there      bool
	asymmetric bool // SigV4A, which nobody here makes
	key        string
	scope      []string // date, region, service, aws4_request
}

// signedQuery are the parameters of a presigned request.
var signedQuery = []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-Region-Set"}

// signatureOf reads the client's signature, of the header or presigned.
func signatureOf(r *Request) (s signature) {
	note := func(algorithm, credential string) {
		s.there = true
		s.asymmetric = s.asymmetric || strings.Contains(algorithm, "ECDSA")
		if parts := strings.Split(credential, "/"); s.key == "" && len(parts) > 1 {
			s.key, s.scope = parts[0], parts[1:]
		}
	}
	for _, v := range r.Header["Authorization"] {
		_, credential, _ := strings.Cut(v, "Credential=")
		credential, _, _ = strings.Cut(credential, ",")
		note(v, strings.TrimSpace(credential))
	}
	if r.URL == nil {
		return s
	}
	for kv := range strings.SplitSeq(r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(kv, "=")
		name, _ := url.QueryUnescape(k)
		value, _ := url.QueryUnescape(v)
		switch {
		case strings.EqualFold(name, "X-Amz-Algorithm"):
			note(value, "")
		case strings.EqualFold(name, "X-Amz-Credential"):
			note("", value)
		}
	}
	if len(r.Header["X-Amz-Region-Set"]) > 0 {
		s.asymmetric = true
	}
	return s
}

func (s sigv4) strip(r *Request) (found bool) {
	r.signature = signatureOf(r)
	for _, k := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Region-Set"} {
		found = stripHeader(r.Header, k) || found
	}
	if r.URL != nil && r.URL.RawQuery != "" {
		names := signedQuery
		if _, old := withoutPair(r.URL.RawQuery, "AWSAccessKeyId"); old { // as it was before SigV4
			names = append(slices.Clone(names), "AWSAccessKeyId", "Signature", "Expires")
		}
		for _, name := range names {
			var had bool
			r.URL.RawQuery, had = withoutPair(r.URL.RawQuery, name)
			found = found || had
		}
	}
	return found
}

// claim compares the client's access key id with the placeholder.
func (s sigv4) claim(r *Request, v Value) (is claim, _ error) {
	c := signatureOf(r)
	if !c.there {
		return nothing, nil
	}
	v.Secret.use(func(p []byte) { is = claims([]string{c.key}, string(p)) })
	return is, nil
}

// scope is the service and the region that are signed for.
func (s sigv4) scope(r *Request) (region string, err error) {
	service, region := impliedBy(r.Host)
	if service != "" && service != s.service {
		return "", unplaced("%s is of %s, and the credential for %s", r.Host, service, s.service)
	}
	said := ""
	if c := r.signature; len(c.scope) >= 3 {
		said = c.scope[1]
		if c.scope[2] != s.service {
			return "", unplaced("the client signed for the service %q", c.scope[2])
		}
	}
	switch {
	case region == "" && said != "":
		region = said
	case region == "" && len(s.regions) == 1:
		region = s.regions[0]
	case region == "":
		return "", unplaced("nothing says which of its regions is meant")
	case said != "" && said != region:
		return "", unplaced("the client signed for the region %q, and its host is in %s", said, region)
	}
	if !slices.Contains(s.regions, region) {
		return "", unplaced("its region %q is none of the credential's", region)
	}
	return region, nil
}

func (s sigv4) put(r *Request, v Value) error {
	if r.signature.asymmetric {
		return unplaced("the client signs with SigV4A, which is not done here")
	}
	region, err := s.scope(r)
	if err != nil {
		return err
	}
	payload, err := s.payload(r)
	if err != nil {
		return err
	}
	id := s.keyID
	if id == "" {
		id = v.Public["access_key_id"]
	}
	if id == "" {
		return &Error{"credential_unavailable", "a credential for this destination is not available", "the source gives no access_key_id"}
	}
	keys := aws.Credentials{AccessKeyID: id}
	secret := v.Secret
	if o, ok := v.Others["secret_access_key"]; ok {
		secret = o
	}
	secret.use(func(b []byte) { keys.SecretAccessKey = string(b) })
	if t, ok := v.Others["session_token"]; ok {
		t.use(func(b []byte) { keys.SessionToken = string(b) })
	}
	at := time.Now().UTC()
	signed, err := s.sign(r, keys, payload, region, at)
	if err != nil {
		return unplaced("it could not be signed")
	}
	for _, k := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if vs := signed.Header[k]; len(vs) > 0 {
			r.Header[k] = vs
		}
	}
	if s.service == "s3" {
		r.Header["X-Amz-Content-Sha256"] = []string{payload}
	} else {
		delete(r.Header, "X-Amz-Content-Sha256")
	}
	if payload == signedChunks || payload == signedChunksTrail {
		_, seed, _ := strings.Cut(signed.Header.Get("Authorization"), "Signature=")
		r.Body = newRechunked(r.Body, r.Room, chunkSigner(keys.SecretAccessKey, region, s.service, at, seed), payload == signedChunksTrail)
	}
	return nil
}

// sign signs what will be sent, of the header only what is sent as it stands.
func (s sigv4) sign(r *Request, keys aws.Credentials, payload, region string, at time.Time) (*http.Request, error) {
	path, err := canonicalPath(r.Path)
	if err != nil {
		return nil, err
	}
	out := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Scheme: "https", Host: r.Host, Opaque: "//" + r.Host + path, RawQuery: r.URL.RawQuery}, Header: http.Header{}}
	for k, vs := range r.Header {
		if strings.HasPrefix(k, "X-Amz-") && k != "X-Amz-Content-Sha256" || k == "Content-Type" || k == "Content-Md5" {
			out.Header[k] = slices.Clone(vs)
		}
	}
	if s.service == "s3" {
		out.Header["X-Amz-Content-Sha256"] = []string{payload}
	}
	err = v4.NewSigner().SignHTTP(context.Background(), keys, out, payload, s.service, region, at, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = s.service == "s3"
	})
	return out, err
}

// canonicalPath is a path as AWS encodes it, whatever encoding it came in.
func canonicalPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		d, err := url.PathUnescape(s)
		if err != nil {
			return "", err
		}
		segments[i] = percent([]byte(d), "%02X")
	}
	return strings.Join(segments, "/"), nil
}

// payload decides how the body is signed, and what it has to be for that.
func (s sigv4) payload(r *Request) (string, error) {
	said := r.Header["X-Amz-Content-Sha256"]
	if len(said) > 1 {
		return "", unplaced("it says twice how its body is signed")
	}
	if s.service == "s3" && len(said) == 1 {
		switch mode := said[0]; {
		case mode == unsignedPayload, mode == unsignedTrailer:
			return mode, nil // as it is: it is under TLS, and its frames are not signed
		case mode == signedChunks, mode == signedChunksTrail:
			if r.Body == nil {
				return "", unplaced("it has no body, and says that it comes in chunks")
			}
			return mode, nil
		case len(mode) == 64 && isHex(mode):
			if r.Body != nil {
				r.Body = &verified{r: r.Body, sum: sha256.New(), want: mode, unplaced: unplaced("its body is not the one that it says")}
			} else if mode != emptyHash {
				return "", unplaced("its body is not the one that it says")
			}
			return mode, nil
		default:
			return "", unplaced("how its body is signed, %.60q, is not known here", mode)
		}
	}
	if s.service == "s3" && (r.Size < 0 || r.Size > MaxBody) && r.Body != nil {
		return unsignedPayload, nil
	}
	b, err := r.whole()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

var emptyHash = func() string { s := sha256.Sum256(nil); return hex.EncodeToString(s[:]) }()

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}
