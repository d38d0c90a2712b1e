// Package age takes secrets from files that are encrypted with age.
package age

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"sallyport/credentials"
)

// maxSize is more than any token has.
const maxSize = 64 << 10

// A Source is one file and the identity that opens it: an AGE-SECRET-KEY, as age-keygen
// writes it. Plugins are not run. It is safe for concurrent use.
type Source struct {
	name           string
	file, identity credentials.Source
}

var _ credentials.Source = (*Source)(nil)

// New opens the file once. Both are read anew each time.
func New(ctx context.Context, name string, file, identity credentials.Source) (*Source, error) {
	s := &Source{name, file, identity}
	_, err := s.Fetch(ctx, nil)
	return s, err
}

// Fetch opens the file.
func (s *Source) Fetch(ctx context.Context, _ credentials.Params) (out credentials.Value, err error) {
	fail := func(err error) (credentials.Value, error) { return credentials.Value{}, fmt.Errorf("%s: %w", s, err) }
	sealed, err := s.file.Fetch(ctx, nil)
	if err != nil {
		return fail(err)
	}
	key, err := s.identity.Fetch(ctx, nil)
	if err != nil {
		return fail(err)
	}
	var ids []age.Identity
	credentials.Reveal(key.Secret, func(b []byte) { ids, err = age.ParseIdentities(bytes.NewReader(b)) })
	if err != nil {
		return fail(fmt.Errorf("%s has no identity of age", s.identity)) // what is wrong is not repeated
	}
	credentials.Reveal(sealed.Secret, func(b []byte) {
		var r io.Reader = bytes.NewReader(b)
		if bytes.HasPrefix(bytes.TrimSpace(b), []byte(armor.Header)) {
			r = armor.NewReader(r)
		}
		if r, err = age.Decrypt(r, ids...); err != nil {
			err = errors.New("the identity does not open it")
			return
		}
		var plain []byte
		plain, err = io.ReadAll(io.LimitReader(r, maxSize+1))
		defer clear(plain)
		switch {
		case err != nil:
			err = errors.New("it was cut or changed")
		case len(plain) > maxSize:
			err = fmt.Errorf("it holds more than %d bytes", maxSize)
		default:
			out.Secret, err = credentials.NewSecret(bytes.TrimRight(plain, "\r\n"))
		}
	})
	if err != nil {
		return fail(err)
	}
	return out, nil
}

// String names the file.
func (s *Source) String() string { return "age:" + s.name }
