package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/file"
)

const (
	id   = "AKIAIOSFODNN7EXAMPLE"
	key  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	role = "arn:aws:iam::123456789012:role/agents/reader"
)

// sts is the endpoint as its reference has it: it checks signatures.
type sts struct {
	mu    sync.Mutex
	forms []url.Values
	lie   func(string) string
}

func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(b))
	refuse := func(code string) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, form.Encode())
	}
	action := form.Get("Action")
	switch {
	case err != nil || form.Get("Version") != "2011-06-15" || form.Get("RoleArn") != role || form.Get("RoleSessionName") == "":
		refuse("ValidationError")
		return
	case action == "AssumeRoleWithWebIdentity":
		if r.Header.Get("Authorization") != "" || form.Get("WebIdentityToken") != "a-web-identity" {
			refuse("InvalidIdentityToken")
			return
		}
	case action == "AssumeRole":
		when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || time.Since(when).Abs() > 5*time.Minute {
			refuse("RequestExpired")
			return
		}
		again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), strings.NewReader(string(b)))
		again.Header.Set("Content-Type", r.Header.Get("Content-Type"))
		again.Header.Set("Accept", r.Header.Get("Accept"))
		sum := sha256.Sum256(b)
		c := sdk.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: r.Header.Get("X-Amz-Security-Token")}
		if err := v4.NewSigner().SignHTTP(r.Context(), c, again, hex.EncodeToString(sum[:]), "sts", "eu-west-1", when); err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
			refuse("SignatureDoesNotMatch")
			return
		}
		if form.Get("ExternalId") != "our-id" {
			refuse("AccessDenied")
			return
		}
	default:
		refuse("InvalidAction")
		return
	}
	s.forms = append(s.forms, form)
	out := fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/reader/%[2]s</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>minted-secret-key-%[3]d</SecretAccessKey><SessionToken>minted-session-token-%[3]d</SessionToken><Expiration>%[4]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, form.Get("RoleSessionName"), len(s.forms), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if s.lie != nil {
		out = s.lie(out)
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, out)
}

func secret(t *testing.T, text string) credentials.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := file.NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(s credentials.Secret) (out string) {
	credentials.Reveal(s, func(b []byte) { out = string(b) })
	return out
}

// Keys as they are, for a role by a signed question, and by a web identity.
func TestKeysAndRoles(t *testing.T) {
	srv := &sts{}
	h := httptest.NewServer(srv)
	defer h.Close()
	at, err := endpoint.New(h.URL+"/", endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	static := Options{KeyID: secret(t, id), Key: secret(t, key), Token: secret(t, "a-session-token")}
	get := func(o Options, p credentials.Params) (credentials.Value, error) {
		t.Helper()
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Fetch(ctx, p)
	}
	v, err := get(static, nil)
	if err != nil || text(v.Secret) != key || v.Public["access_key_id"] != id || text(v.Others["session_token"]) != "a-session-token" || !v.Expires.IsZero() {
		t.Errorf("%v %v", v, err)
	}
	assumed := static
	assumed.At, assumed.Region, assumed.Role, assumed.External, assumed.Choose = at, "eu-west-1", role, "our-id", []string{"policy"}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`
	v, err = get(assumed, credentials.Params{"policy": policy})
	if err != nil || text(v.Secret) != "minted-secret-key-1" || v.Public["access_key_id"] != "ASIAIOSFODNN7EXAMPLE" || text(v.Others["session_token"]) != "minted-session-token-1" || time.Until(v.Expires) < 59*time.Minute || srv.forms[0].Get("Policy") != policy {
		t.Errorf("%v %v", v, err)
	}
	web := Options{Identity: secret(t, "a-web-identity"), At: at, Region: "eu-west-1", Role: role, Policy: policy, Policies: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, Session: "box-1"}
	v, err = get(web, nil)
	if err != nil || text(v.Secret) != "minted-secret-key-2" || srv.forms[1].Get("Policy") != policy || srv.forms[1].Get("PolicyArns.member.1.arn") != web.Policies[0] || srv.forms[1].Get("RoleSessionName") != "box-1" {
		t.Errorf("%v %v", v, err)
	}
	// 445: what is wrong gives nothing, and is not repeated.
	other := assumed
	other.Key = secret(t, "another-secret-key-entirely-0123456789")
	outside := assumed
	outside.External = "theirs"
	for name, o := range map[string]Options{"SignatureDoesNotMatch": other, "AccessDenied": outside} {
		if v, err := get(o, nil); err == nil || !strings.HasSuffix(err.Error(), "answered 403 "+name) {
			t.Errorf("%s: %v %v", name, v, err)
		}
	}
	for _, p := range []string{"", "no JSON", `{"a":1,"a":2}`, `{"x":"` + strings.Repeat("y", 2048) + `"}`} {
		if _, err := get(assumed, credentials.Params{"policy": p}); err == nil {
			t.Errorf("the session policy %.20q is taken", p)
		}
	}
	both := assumed
	both.Policy = policy
	if _, err := get(both, credentials.Params{"policy": policy}); err == nil {
		t.Error("a second session policy is taken")
	}
	for name, lie := range map[string]func(string) string{
		"another role": func(s string) string { return strings.ReplaceAll(s, "assumed-role/reader/", "assumed-role/admin/") },
		"another account": func(s string) string {
			return strings.ReplaceAll(s, "::123456789012:assumed", "::210987654321:assumed")
		},
		"no keys":        func(s string) string { return strings.ReplaceAll(s, "SecretAccessKey", "Secret") },
		"no end":         func(s string) string { return strings.ReplaceAll(s, "Expiration>", "Ends>") },
		"another action": func(s string) string { return strings.ReplaceAll(s, "AssumeRoleResult", "AssumeRoleWithSAMLResult") },
		"no XML":         func(string) string { return "minted-secret" },
	} {
		srv.lie = lie
		if v, err := get(assumed, nil); err == nil || strings.Contains(err.Error(), "minted") {
			t.Errorf("%s: %v %v", name, v, err)
		}
	}
	for name, o := range map[string]Options{
		"nothing": {}, "half": {KeyID: static.KeyID}, "both": {KeyID: static.KeyID, Key: static.Key, Identity: web.Identity, Role: role, Region: "x"}, "no role": {Identity: web.Identity},
		"no region": {Identity: web.Identity, Role: role}, "a name": {Identity: web.Identity, Role: "reader", Region: "x"}, "a policy for nothing": {KeyID: static.KeyID, Key: static.Key, Policy: "{}"},
		"a long session": {Identity: web.Identity, Role: role, Region: "x", Life: 24 * time.Hour}, "a session of a space": {Identity: web.Identity, Role: role, Region: "x", Session: "a b"},
		"no policy": {Identity: web.Identity, Role: role, Region: "x", Policy: "all"}, "a choice": {Identity: web.Identity, Role: role, Region: "x", Choose: []string{"role"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
