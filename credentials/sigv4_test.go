package credentials

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestImpliedByHosts(t *testing.T) {
	for host, want := range map[string]string{
		"s3.eu-west-1.amazonaws.com": "s3 eu-west-1", "box.s3.eu-west-1.amazonaws.com": "s3 eu-west-1", "a.b.s3.dualstack.us-gov-west-1.amazonaws.com": "s3 us-gov-west-1",
		"s3.amazonaws.com": "s3 us-east-1", "box.s3.amazonaws.com:443": "s3 us-east-1", "s3-eu-west-1.amazonaws.com": "s3 eu-west-1", "box.s3-ap-southeast-2.amazonaws.com": "s3 ap-southeast-2",
		"iam.amazonaws.com": "iam us-east-1", "sts.eu-central-1.amazonaws.com": "sts eu-central-1", "STS.eu-central-1.amazonaws.com.": "sts eu-central-1",
		"x1.execute-api.eu-west-1.amazonaws.com": "execute-api eu-west-1", "x1.lambda-url.eu-west-1.on.aws": "lambda eu-west-1", "bedrock-runtime.us-east-1.amazonaws.com": "bedrock us-east-1",
		"api.ecr.eu-west-1.amazonaws.com": "ecr eu-west-1", "s3.cn-north-1.amazonaws.com.cn": "s3 cn-north-1", "dynamodb-fips.us-east-1.amazonaws.com": "dynamodb us-east-1",
		"s3.example.com": " ", "amazonaws.com.evil.example": " ", "evilamazonaws.com": " ",
	} {
		service, region := impliedBy(host)
		if got := service + " " + region; got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

// keyed is a source of a key of AWS.
type keyed struct{ token bool }

func (k keyed) Fetch(context.Context, Params) (Value, error) {
	s, err := NewSecret([]byte(canary))
	v := Value{Secret: s, Public: map[string]string{"access_key_id": "AKIAREALKEY"}, Version: "1"}
	if k.token {
		tok, _ := NewSecret([]byte("session-token-of-the-real-one"))
		v.Others = map[string]Secret{"session_token": tok}
	}
	return v, err
}

func (keyed) String() string { return "test:keyed" }

// hostile 123: what the client says of its signature is held to what the host and the
// configuration say, and none of it is left.
func TestSigV4(t *testing.T) {
	of := func(scope string) string {
		return "AWS4-HMAC-SHA256 Credential=AKIACLIENT/20260101/" + scope + "/aws4_request, SignedHeaders=host, Signature=00"
	}
	presigned := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIACLIENT%2F20260101%2F{}%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&x-amz-signature=00&X-Amz-Security-Token=mine&list-type=2"
	for _, c := range []struct {
		service, regions, host, auth, query, sha, body string
		region, want, remark                           string // want "" is a refusal, else how the payload is signed
	}{
		{"s3", "eu-west-1,us-east-1", "s3.eu-west-1.amazonaws.com", of("eu-west-1/s3"), "", unsignedPayload, "x", "eu-west-1", unsignedPayload, ""},
		{"s3", "eu-west-1,us-east-1", "s3.eu-west-1.amazonaws.com", of("us-east-1/s3"), "", "", "", "", "", "a region swapped"},
		{"s3", "us-east-1", "s3.eu-west-1.amazonaws.com", of("eu-west-1/s3"), "", "", "", "", "", "a region of its own choice"},
		{"s3", "us-east-1", "iam.amazonaws.com", of("us-east-1/s3"), "", "", "", "", "", "another service, by the host"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", of("eu-west-1/iam"), "", "", "", "", "", "another service, by the client"},
		{"s3", "eu-west-1,us-east-1", "minio.corp", of("us-east-1/s3"), "", "", "", "us-east-1", emptyHash, "the client chooses of what is listed"},
		{"s3", "eu-west-1,us-east-1", "minio.corp", "", "", "", "", "", "", "nobody says which region"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", "", strings.ReplaceAll(presigned, "{}", "eu-west-1%2Fs3"), "", "", "eu-west-1", emptyHash, "presigned"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", "", strings.ReplaceAll(presigned, "{}", "us-east-1%2Fs3"), "", "", "", "", "presigned for another region"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", "", "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", "", "", "", "", "SigV4A, presigned"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", "AWS4-ECDSA-P256-SHA256 Credential=AKIACLIENT/20260101/s3/aws4_request", "", "", "", "", "", "SigV4A"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", of("eu-west-1/s3"), "", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "x", "", "", "chunks of SigV4A"},
		{"s3", "eu-west-1", "s3.eu-west-1.amazonaws.com", of("eu-west-1/s3"), "", strings.Repeat("0", 64), "", "", "", "another body than it says"},
		{"dynamodb", "eu-west-1", "dynamodb.eu-west-1.amazonaws.com", of("eu-west-1/dynamodb"), "", unsignedPayload, "", "eu-west-1", emptyHash, "not of S3, so signed"},
	} {
		b := binding(t, "a", Place{Kind: SigV4, Name: c.service, Region: c.regions})
		b.Source = keyed{token: true}
		g := grant(t, b)
		r := &Request{Method: "PUT", Host: c.host, Path: "/a b", URL: &url.URL{RawQuery: c.query}, Header: http.Header{"X-Amz-Date": {"20260101T000000Z"}, "X-Amz-Security-Token": {"mine"}}, Size: int64(len(c.body))}
		r.Path = "/a%20b"
		if c.auth != "" {
			r.Header["Authorization"] = []string{c.auth}
		}
		if c.sha != "" {
			r.Header["X-Amz-Content-Sha256"] = []string{c.sha}
		}
		if c.body != "" {
			r.Body = strings.NewReader(c.body)
		}
		err := g.Apply(r)
		var e *Error
		if c.want == "" {
			if !errors.As(err, &e) || e.Code != "credential_unplaced" {
				t.Errorf("%s: %v", c.remark, err)
			}
			continue
		}
		auth := r.Header.Get("Authorization")
		if err != nil || !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIAREALKEY/") || !strings.Contains(auth, "/"+c.region+"/"+c.service+"/aws4_request") || strings.Contains(auth, "AKIACLIENT") {
			t.Errorf("%s: %v %q", c.remark, err, auth)
		}
		if got := r.Header.Get("X-Amz-Content-Sha256"); c.service == "s3" && got != c.want || c.service != "s3" && got != "" {
			t.Errorf("%s: the payload is signed as %q", c.remark, got)
		}
		if d := r.Header.Values("X-Amz-Date"); len(d) != 1 || d[0] == "20260101T000000Z" || strings.Join(r.Header.Values("X-Amz-Security-Token"), "") != "session-token-of-the-real-one" {
			t.Errorf("%s: %v", c.remark, r.Header)
		}
		if q := r.URL.RawQuery; c.query != "" && q != "list-type=2" {
			t.Errorf("%s: of the query is left %q", c.remark, q)
		}
	}
}

// What is sent nowhere cannot come back: answers keep their parts and tags.
func TestSilentGrants(t *testing.T) {
	for token, silent := range map[bool]bool{true: false, false: true} {
		b := binding(t, "a", Place{Kind: SigV4, Name: "s3", Region: "us-east-1"})
		b.Source = keyed{token}
		if got := grant(t, b).Silent(); got != silent {
			t.Errorf("with a session token %v: %v", token, got)
		}
		if s := store(t, b); s.Watch(target(t, "api.example.com:443")) == nil != silent || s.RedactString("x "+canary) != "x [REDACTED:a]" {
			t.Errorf("with a session token %v it is watched, or told", token)
		}
	}
}

// What is not made of chunks is an error, and never read on.
func FuzzRechunked(f *testing.F) {
	sig := strings.Repeat("0", 64)
	f.Add("5;chunk-signature="+sig+"\r\nhello\r\n0;chunk-signature="+sig+"\r\n\r\n", false)
	f.Add("0;chunk-signature="+sig+"\r\nx-amz-checksum-crc32:AAAA\r\nx-amz-trailer-signature:"+sig+"\r\n\r\n", true)
	f.Fuzz(func(t *testing.T, in string, trailer bool) {
		s := &signer{key: []byte("k"), last: "seed"}
		out, err := io.ReadAll(newRechunked(strings.NewReader(in), nil, s, trailer))
		if err == nil && len(out) != len(in) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}
