// Package assertion signs JWTs, by which tokens are asked for.
package assertion

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sallyport/credentials"
)

// A Signer signs with a private key.
type Signer struct {
	Key credentials.Source // PEM; read anew for each
	ID  string             // of the key; "" says none
}

// Check reads the key, without telling of it.
func (s *Signer) Check(ctx context.Context) error {
	_, err := s.Sign(ctx, nil, 0, time.Minute)
	return err
}

// Sign signs claims, with iat and exp: as if it were early ago, since clocks
// differ, and for life from then.
func (s *Signer) Sign(ctx context.Context, claims map[string]any, early, life time.Duration) (out string, err error) {
	c := jwt.MapClaims{}
	maps.Copy(c, claims)
	from := time.Now().Add(-early)
	c["iat"], c["exp"] = from.Unix(), from.Add(life).Unix()
	v, err := s.Key.Fetch(ctx, nil)
	if err != nil {
		return "", err
	}
	credentials.Reveal(v.Secret, func(b []byte) {
		var key any
		var method jwt.SigningMethod
		if key, method, err = parse(b); err != nil {
			return
		}
		t := jwt.NewWithClaims(method, c)
		if s.ID != "" {
			t.Header["kid"] = s.ID
		}
		out, err = t.SignedString(key)
	})
	if err != nil {
		return "", fmt.Errorf("the key in %s: %w", s.Key, err)
	}
	return out, nil
}

// parse reads a private key of PEM, and how it signs: RSA of 2048 bits or more with RS256,
// P-256 with ES256, P-384 with ES384, Ed25519 with EdDSA. Errors do not repeat it.
func parse(b []byte) (any, jwt.SigningMethod, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, nil, errors.New("it is no PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, nil, errors.New("it is encrypted: give it as it is, in a file of mode 600")
	default:
		return nil, nil, errors.New("it is no private key")
	}
	if err != nil {
		return nil, nil, errors.New("it is no private key that can be read")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, nil, errors.New("it is an RSA key of fewer than 2048 bits")
		}
		return k, jwt.SigningMethodRS256, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return k, jwt.SigningMethodES256, nil
		case elliptic.P384():
			return k, jwt.SigningMethodES384, nil
		}
	case ed25519.PrivateKey:
		return k, jwt.SigningMethodEdDSA, nil
	}
	return nil, nil, errors.New("it is a key of a kind that nothing here signs with")
}
