// Package aws takes access keys of Amazon Web Services: as they are, or for a role.
package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sallyport/credentials"
	"sallyport/credentials/endpoint"
)

// Options of a Source.
type Options struct {
	KeyID credentials.Source // the access key id; nil where a web identity has its place
	Key   credentials.Source // its secret
	Token credentials.Source // of a session; nil is none
	// Identity is a token of a web identity, read anew each time.
	Identity credentials.Source
	// At is STS, of Region; Role is what is assumed there. Without Role the keys are
	// given as they are.
	At           *endpoint.Endpoint
	Region, Role string
	Session      string        // its name; "" is sallyport
	External     string        // external id; "" is none
	Policy       string        // session policy, in JSON; "" is none
	Policies     []string      // and others, by ARN
	Life         time.Duration // 0 means an hour
	// Choose are the parameters that policy may choose: policy, a session policy.
	Choose []string
}

// A Source is one key or role. Its secret is the secret key; access_key_id is public and
// session_token another secret beside it. It is safe for concurrent use.
type Source struct{ o Options }

var _ credentials.Narrower = (*Source)(nil)

var (
	roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`)
	session = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	keyID   = regexp.MustCompile(`^[A-Z0-9]{16,128}$`)
)

// New checks what is said. Nothing is asked.
func New(o Options) (*Source, error) {
	if o.Session == "" {
		o.Session = "sallyport"
	}
	if o.Life == 0 {
		o.Life = time.Hour
	}
	keys := o.KeyID != nil || o.Key != nil
	switch {
	case keys == (o.Identity != nil):
		return nil, errors.New("expected access_key_id and secret_access_key, or web_identity_token")
	case keys && (o.KeyID == nil || o.Key == nil):
		return nil, errors.New("access_key_id and secret_access_key come together")
	case o.Token != nil && !keys:
		return nil, errors.New("session_token is for access keys")
	case o.Identity != nil && o.Role == "":
		return nil, errors.New("a web identity needs role_arn")
	case o.Role == "" && (o.External+o.Policy != "" || len(o.Policies)+len(o.Choose) > 0):
		return nil, errors.New("external_id, session_policy, session_policy_arns and choose are for role_arn")
	case o.Role != "" && !roleARN.MatchString(o.Role):
		return nil, errors.New("role_arn: expected arn:aws:iam::ACCOUNT:role/NAME")
	case o.Role != "" && o.Region == "":
		return nil, errors.New("region is missing")
	case !session.MatchString(o.Session):
		return nil, errors.New("session_name: from 2 to 64 letters, digits and any of _+=,.@-")
	case o.External != "" && o.Identity != nil:
		return nil, errors.New("external_id is for access keys")
	case o.Life < 15*time.Minute || o.Life > 12*time.Hour:
		return nil, errors.New("duration: from 15m to 12h")
	case o.Policy != "" && policed(o.Policy) != nil:
		return nil, fmt.Errorf("session_policy: %w", policed(o.Policy))
	}
	for _, c := range o.Choose {
		if c != "policy" {
			return nil, fmt.Errorf("choose %q: expected policy", c)
		}
	}
	return &Source{o}, nil
}

// policed is nil for what can be a session policy.
func policed(p string) error {
	if len(p) > 2048 {
		return errors.New("it is longer than the 2048 characters that STS takes")
	}
	if _, err := endpoint.ParseObject([]byte(p)); err != nil {
		return fmt.Errorf("it is %w", err)
	}
	return nil
}

// String names the role, or that there is a key.
func (s *Source) String() string {
	if s.o.Role != "" {
		return "aws:" + s.o.Role
	}
	return "aws:" + s.o.KeyID.String()
}

// Takes returns what policy may choose.
func (s *Source) Takes() []string { return s.o.Choose }

// Fetch reads the keys, and assumes the role.
func (s *Source) Fetch(ctx context.Context, p credentials.Params) (credentials.Value, error) {
	v, err := s.fetch(ctx, p)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("%s: %w", s, err)
	}
	return v, nil
}

func (s *Source) fetch(ctx context.Context, p credentials.Params) (v credentials.Value, err error) {
	form := url.Values{"Version": {"2011-06-15"}, "RoleArn": {s.o.Role}, "RoleSessionName": {s.o.Session}, "DurationSeconds": {strconv.Itoa(int(s.o.Life / time.Second))}}
	if s.o.Policy != "" {
		form.Set("Policy", s.o.Policy)
	}
	for i, a := range s.o.Policies {
		form.Set(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), a)
	}
	if c, ok := p["policy"]; ok {
		if s.o.Policy != "" { // the narrower of two cannot be said in one
			return v, errors.New("the policy chooses a session policy, and the configuration has one")
		}
		if err := policed(c); err != nil {
			return v, fmt.Errorf("the session policy that the policy chooses: %w", err)
		}
		form.Set("Policy", c)
	}
	if s.o.Identity != nil {
		t, err := s.o.Identity.Fetch(ctx, nil)
		if err != nil {
			return v, err
		}
		form.Set("Action", "AssumeRoleWithWebIdentity")
		credentials.Reveal(t.Secret, func(b []byte) { form.Set("WebIdentityToken", string(b)) })
		return s.assume(ctx, form, nil)
	}
	if v, err = s.keys(ctx); err != nil || s.o.Role == "" {
		return v, err
	}
	form.Set("Action", "AssumeRole")
	if s.o.External != "" {
		form.Set("ExternalId", s.o.External)
	}
	return s.assume(ctx, form, &v)
}

// keys are those of the configuration.
func (s *Source) keys(ctx context.Context) (v credentials.Value, err error) {
	id, err := s.o.KeyID.Fetch(ctx, nil)
	if err != nil {
		return v, err
	}
	var name string
	credentials.Reveal(id.Secret, func(b []byte) { name = string(b) })
	if !keyID.MatchString(name) {
		return v, fmt.Errorf("%s is no access key id", s.o.KeyID)
	}
	k, err := s.o.Key.Fetch(ctx, nil)
	if err != nil {
		return v, err
	}
	v.Public = map[string]string{"access_key_id": name}
	credentials.Reveal(k.Secret, func(b []byte) { v.Secret, err = credentials.NewSecret(b) })
	if err != nil || s.o.Token == nil {
		return v, err
	}
	t, err := s.o.Token.Fetch(ctx, nil)
	if err != nil {
		return v, err
	}
	var token credentials.Secret
	credentials.Reveal(t.Secret, func(b []byte) { token, err = credentials.NewSecret(b) })
	v.Others = map[string]credentials.Secret{"session_token": token}
	return v, err
}

// codes are errors of STS.
var codes = []string{"AccessDenied", "ExpiredToken", "ExpiredTokenException", "IDPCommunicationError", "IDPRejectedClaim", "InvalidIdentityToken", "InvalidClientTokenId", "MalformedPolicyDocument",
	"PackedPolicyTooLarge", "RegionDisabledException", "SignatureDoesNotMatch", "Throttling", "ValidationError", "MissingAuthenticationToken", "ServiceUnavailable"}

// An answer of STS, of either action.
type answer struct {
	XMLName xml.Name
	Role    result `xml:"AssumeRoleResult"`
	Web     result `xml:"AssumeRoleWithWebIdentityResult"`
	Code    string `xml:"Error>Code"`
}

type result struct {
	Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	Role        struct{ Arn string } `xml:"AssumedRoleUser"`
}

// assume asks for keys of the role, signed by those that there are.
func (s *Source) assume(ctx context.Context, form url.Values, by *credentials.Value) (v credentials.Value, err error) {
	body := form.Encode()
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/xml"}}
	if by != nil {
		if err := s.sign(ctx, h, body, by); err != nil {
			return v, err
		}
	}
	a, err := s.o.At.Ask(ctx, http.MethodPost, h, []byte(body))
	if err != nil {
		return v, err
	}
	var x answer
	no := xml.Unmarshal(a.Body, &x)
	if a.Status != http.StatusOK {
		e := &endpoint.Error{At: s.o.At.String(), Status: a.Status}
		if slices.Contains(codes, x.Code) {
			e.Code = x.Code
		}
		return v, e
	}
	r := x.Role
	if by == nil {
		r = x.Web
	}
	c := r.Credentials
	ends, bad := time.Parse(time.RFC3339, c.Expiration)
	account, role := strings.Split(s.o.Role, ":")[4], s.o.Role[strings.LastIndex(s.o.Role, "/")+1:]
	switch {
	case no != nil || !keyID.MatchString(c.AccessKeyId) || c.SecretAccessKey == "" || c.SessionToken == "" || bad != nil:
		return v, fmt.Errorf("%s: its answer has no keys", s.o.At)
	case !strings.Contains(r.Role.Arn, ":"+account+":assumed-role/"+role+"/"):
		return v, fmt.Errorf("%s: its answer is about another role", s.o.At)
	}
	v = credentials.Value{Public: map[string]string{"access_key_id": c.AccessKeyId}, Expires: ends}
	if v.Secret, err = credentials.NewSecret([]byte(c.SecretAccessKey)); err != nil {
		return v, err
	}
	token, err := credentials.NewSecret([]byte(c.SessionToken))
	v.Others = map[string]credentials.Secret{"session_token": token}
	return v, err
}

// sign signs a question by version 4.
func (s *Source) sign(ctx context.Context, h http.Header, body string, by *credentials.Value) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.At.URL(), strings.NewReader(body))
	if err != nil {
		return errors.New("it cannot be signed")
	}
	req.Header = h
	c := sdk.Credentials{AccessKeyID: by.Public["access_key_id"]}
	credentials.Reveal(by.Secret, func(b []byte) { c.SecretAccessKey = string(b) })
	if t, ok := by.Others["session_token"]; ok {
		credentials.Reveal(t, func(b []byte) { c.SessionToken = string(b) })
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, c, req, hex.EncodeToString(sum[:]), "sts", s.o.Region, time.Now()); err != nil {
		return errors.New("it cannot be signed") // what it was about may be in the error
	}
	return nil
}
