package credentials

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rs/zerolog"
)

// minSecret is the shortest secret that can be told from ordinary text in an answer.
const minSecret = 8

// A Secret is a value that cannot be printed, marshalled or compared by
// accident. The zero Secret is empty and useless.
type Secret struct{ v *[]byte }

// NewSecret takes a value in. What could end a header field or start another is
// refused (hostile 121), as is what is too short to be found in an answer.
func NewSecret(b []byte) (Secret, error) {
	if len(b) == 0 {
		return Secret{}, fmt.Errorf("the secret is empty")
	}
	if len(b) < minSecret {
		return Secret{}, fmt.Errorf("the secret is shorter than %d bytes: it could not be told from ordinary text in an answer", minSecret)
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return Secret{}, fmt.Errorf("the secret has a line break or another control character")
		}
	}
	if b[0] == ' ' || b[len(b)-1] == ' ' {
		return Secret{}, fmt.Errorf("the secret begins or ends with a space, which is lost on the way")
	}
	v := append([]byte(nil), b...)
	return Secret{&v}, nil
}

// use is the one door to the value.
func (s Secret) use(f func([]byte)) {
	if s.v != nil {
		f(*s.v)
	}
}

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool {
	if s.v == nil || o.v == nil {
		return false
	}
	return subtle.ConstantTimeCompare(*s.v, *o.v) == 1
}

const redacted = "[REDACTED]"

// String does not say the value; nor does any other form of it.
func (Secret) String() string { return redacted }

// GoString is String.
func (Secret) GoString() string { return redacted }

// Format is String, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is String.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is String.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalZerologObject is String.
func (Secret) MarshalZerologObject(e *zerolog.Event) { e.Str("secret", redacted) }
