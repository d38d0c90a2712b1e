package credentials

import "fmt"

// maxKey is more than any private key or document of keys has.
const maxKey = 64 << 10

// NewKey takes in what is never put on a request, but is what a source asks with or
// signs by: the secret of a client, a private key, a document of keys. It may
// be short and have lines.
func NewKey(b []byte) (Secret, error) {
	switch {
	case len(b) == 0:
		return Secret{}, fmt.Errorf("the secret is empty")
	case len(b) > maxKey:
		return Secret{}, fmt.Errorf("the secret is longer than %d bytes", maxKey)
	}
	v := append([]byte(nil), b...)
	return Secret{&v}, nil
}

// Reveal lends the value of a secret to a source that asks for another one with
// it; f must not keep it. It is for sources alone.
func Reveal(s Secret, f func([]byte)) { s.use(f) }
