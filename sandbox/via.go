package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"sallyport/dest"
)

// A Via is a service of the operator's own that carries what a sandbox sends to
// some destinations. What is allowed goes there, signed, and nowhere else.
type Via struct {
	Match        dest.Pattern // the destinations
	Target       dest.Addr    // the service; may be an address that is not public
	TargetScheme string       // "http" or "https"
	PathPrefix   string       // put before the path; "" or "/x" without a slash at the end
	Credentials  bool         // those of the destination go to the service
	TLS          *TLS
	Key          *SigningKey
}

// Same reports whether two say the same.
func (v *Via) Same(o *Via) bool {
	if v == nil || o == nil {
		return v == o
	}
	a, b := *v, *o
	a.TLS, b.TLS, a.Key, b.Key = nil, nil, nil, nil
	return a == b && v.TLS.Key() == o.TLS.Key() && v.Key.ID() == o.Key.ID()
}

// Via returns what carries a destination that is no binding, or nil.
func (s *Sandbox) Via(a dest.Addr) *Via {
	for i := range s.Vias {
		if s.Vias[i].Match.Match(a) {
			return &s.Vias[i]
		}
	}
	return nil
}

// SameWays reports whether the names of two lead to the same.
func (s *Sandbox) SameWays(o *Sandbox) bool {
	if len(s.Vias) != len(o.Vias) {
		return false
	}
	for i := range s.Vias {
		if !s.Vias[i].Same(&o.Vias[i]) {
			return false
		}
	}
	return SameBindings(s.Bindings, o.Bindings)
}

// A SigningKey signs by HMAC with SHA-256. It cannot be read or printed.
type SigningKey struct {
	id  string
	sum func([]byte) []byte
}

// NewSigningKey keeps a copy of a secret.
func NewSigningKey(secret []byte) *SigningKey {
	key := append([]byte(nil), secret...)
	k := &SigningKey{sum: func(b []byte) []byte {
		h := hmac.New(sha256.New, key)
		_, _ = h.Write(b)
		return h.Sum(nil)
	}}
	k.id = hex.EncodeToString(k.sum([]byte("sallyport key id"))[:8])
	return k
}

// ID names the key and tells nothing of it.
func (k *SigningKey) ID() string { return k.id }

// Sign returns the 32 bytes of a signature.
func (k *SigningKey) Sign(b []byte) []byte { return k.sum(b) }
