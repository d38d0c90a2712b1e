package rego

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// ErrSignature is what the error of a bundle is whose signature is missing, or is
// not one of its content by a key that counts.
var ErrSignature = errors.New("the bundle is not signed as it has to be")

// A Verifier knows the keys of which one has to have signed a bundle. The nil
// Verifier asks for none.
type Verifier struct {
	keys             []*bundle.KeyConfig
	id, algo, scoped string
}

// algorithms are those of OPA that sign with a key of two halves, or with a secret.
var algorithms = strings.Fields("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 HS256 HS384 HS512")

// NewVerifier returns one of the public keys in a text, PEM, of which each counts, so
// that a new one can be good beside an old one; for HS256 and the like of the secret
// that is the text. The algorithm is RS256 when it is "". With an id only signatures
// that name it count; the scope has to be that of the signature. Errors do not
// repeat the text.
func NewVerifier(text, id, algorithm, scope string) (*Verifier, error) {
	if algorithm == "" {
		algorithm = "RS256"
	}
	v := &Verifier{id: id, algo: algorithm, scoped: scope}
	add := func(key string) {
		v.keys = append(v.keys, &bundle.KeyConfig{Key: key, Algorithm: algorithm, Scope: scope})
	}
	switch {
	case !slices.Contains(algorithms, algorithm):
		return nil, fmt.Errorf("the algorithm %q: expected one of %s", algorithm, strings.Join(algorithms, ", "))
	case strings.HasPrefix(algorithm, "HS"):
		secret := strings.TrimRight(text, "\r\n")
		if len(secret) < 32 {
			return nil, errors.New("a secret that signs has at least 32 characters: openssl rand -hex 32 makes a good one")
		}
		add(secret)
		return v, nil
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			_, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			_, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			_, err = x509.ParseCertificate(block.Bytes)
		default:
			err = fmt.Errorf("it is a %s: name the public key that belongs to it", strings.ToLower(block.Type))
		}
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", len(v.keys)+1, err)
		}
		add(string(pem.EncodeToMemory(block)))
	}
	if len(v.keys) == 0 {
		return nil, errors.New("there is no public key in it, in PEM")
	}
	return v, nil
}

// Same reports whether two let the same bundles pass.
func (v *Verifier) Same(o *Verifier) bool {
	if v == nil || o == nil {
		return v == o
	}
	return v.id == o.id && v.algo == o.algo && v.scoped == o.scoped && slices.EqualFunc(v.keys, o.keys, func(a, b *bundle.KeyConfig) bool { return a.Key == b.Key })
}

// configs are the ways in which a signature can be good.
func (v *Verifier) configs() (out []*bundle.VerificationConfig) {
	for _, k := range v.keys {
		name, use := v.id, "" // of the key that the signature names
		if name == "" {
			name, use = "key", "key"
		}
		out = append(out, bundle.NewVerificationConfig(map[string]*bundle.KeyConfig{name: k}, use, v.scoped, nil))
	}
	return out
}

// verify checks every file by OPA's verification, and returns how OPA's reader
// is to do the same once more.
func (v *Verifier) verify(a *archive) (*bundle.VerificationConfig, error) {
	fail := func(format string, args ...any) (*bundle.VerificationConfig, error) {
		return nil, fmt.Errorf("%w: %w", ErrSignature, fmt.Errorf(format, args...))
	}
	var sc bundle.SignaturesConfig
	i := slices.IndexFunc(a.files, func(f packed) bool { return bundle.IsSignaturesFile(f.name) })
	if i < 0 {
		return fail("there is no .signatures.json in it: opa build --bundle --signing-key KEY makes one")
	}
	if err := json.Unmarshal(a.files[i].text, &sc); err != nil {
		return fail(".signatures.json: %w", err)
	}
	if sc.Plugin != "" && sc.Plugin != "_default" {
		return fail(".signatures.json: the plugin %q is not known here", sc.Plugin)
	}
	var wrong error
	for _, c := range v.configs() {
		signed, err := bundle.VerifyBundleSignature(sc, c)
		if err != nil {
			wrong = err
			continue
		}
		for j, f := range a.files {
			if j == i {
				continue
			}
			if err := bundle.VerifyBundleFile(f.name, *bytes.NewBuffer(f.text), signed); err != nil {
				return fail("%w", err)
			}
		}
		if len(signed) > 0 {
			return fail("files that are signed are missing: %s", strings.Join(slices.Sorted(maps.Keys(signed)), ", "))
		}
		return c, nil
	}
	return fail("%w", wrong)
}
