package oauth2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"sallyport/credentials/assertion"
)

// An Assertion is what is signed to ask for a token (RFC 7523, 3).
type Assertion struct {
	assertion.Signer
	Issuer, Subject string            // "" of Subject is the issuer
	Audience        string            // "" is the endpoint
	Claims          map[string]string // beside those
	// ScopeClaim says the scope in the assertion, as Google wants it.
	ScopeClaim bool
}

const (
	// asserted is how long an assertion is good: it is shown at once.
	asserted = 5 * time.Minute
	// behind is how much a server's clock may be.
	behind = 30 * time.Second
)

// ownClaims are said of every assertion.
var ownClaims = []string{"iss", "sub", "aud", "exp", "iat", "jti", "nbf", "scope"}

// Check reads the key, without telling of it. An assertion that is a grant has an
// issuer; one of a client says its id.
func (a *Assertion) Check(ctx context.Context, grant bool) error {
	if grant && a.Issuer == "" {
		return errors.New("issuer is missing: whose word the assertion is")
	}
	for c := range a.Claims {
		if slices.Contains(ownClaims, c) {
			return fmt.Errorf("the claim %s is said already, or has a key of its own", c)
		}
	}
	return a.Signer.Check(ctx)
}

// grant signs one that a token is asked for with.
func (a *Assertion) grant(ctx context.Context, endpoint, scope string) (string, error) {
	c := map[string]any{"iss": a.Issuer, "sub": a.Subject, "aud": a.Audience, "jti": uuid.NewString()}
	for k, v := range map[string]string{"sub": a.Issuer, "aud": endpoint} {
		if c[k] == "" {
			c[k] = v
		}
	}
	for k, v := range a.Claims {
		c[k] = v
	}
	if a.ScopeClaim && scope != "" {
		c["scope"] = scope
	}
	return a.Sign(ctx, c, behind, asserted)
}

// client signs one that says who a client is.
func (a *Assertion) client(ctx context.Context, id, endpoint string) (string, error) {
	return a.Sign(ctx, map[string]any{"iss": id, "sub": id, "aud": endpoint, "jti": uuid.NewString()}, behind, asserted)
}
