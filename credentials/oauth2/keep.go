package oauth2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"sallyport/credentials"
)

// A Keep is a file with the refresh token that took the place of the one that the
// operator gave. What is in it is on the disk before it is used, and one
// process at a time spends it. Others who run this binary over the same directory see it.
type Keep struct{ path string }

// NewKeep names the file, in a directory of ours, after all that the token is
// bound to.
func NewKeep(dir string, bound ...string) *Keep {
	h := sha256.New()
	for _, b := range bound {
		fmt.Fprintf(h, "%d:%s", len(b), b)
	}
	return &Keep{filepath.Join(dir, hex.EncodeToString(h.Sum(nil))[:32]+".refresh")}
}

// kept is the text of the file. From is the digest of the token that the operator
// gave: with another one all begins anew.
type kept struct {
	From  string `json:"from"`
	Token string `json:"token"`
}

// lock waits for its turn among processes. The lock is of a file beside it.
func (k *Keep) lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(k.path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another process refreshes it: %w", context.Cause(ctx)), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func digest(s credentials.Secret) string {
	var sum [sha256.Size]byte
	credentials.Reveal(s, func(b []byte) { sum = sha256.Sum256(b) })
	return hex.EncodeToString(sum[:])
}

// token returns what is to be shown next: what is kept, or what was given.
func (k *Keep) token(given credentials.Secret) (credentials.Secret, error) {
	f, err := os.OpenFile(k.path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return given, nil
	}
	if err != nil {
		return given, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return given, err
	}
	var x kept
	if json.Unmarshal(b, &x) != nil { // nothing of it is repeated
		return given, fmt.Errorf("%s is not what was written there: remove it, and give a new refresh token", k.path)
	}
	if x.From != digest(given) {
		return given, nil
	}
	return credentials.NewKey([]byte(x.Token))
}

// put keeps a token: on the disk, with its name, when it returns.
func (k *Keep) put(given, next credentials.Secret) error {
	x := kept{From: digest(given)}
	credentials.Reveal(next, func(b []byte) { x.Token = string(b) })
	b, err := json.Marshal(x)
	if err != nil {
		return errors.New("the refresh token cannot be kept")
	}
	if err := renameio.WriteFile(k.path, b, 0o600); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fixed is a secret as a source.
type fixed struct{ credentials.Secret }

// Fetch returns it.
func (f fixed) Fetch(context.Context, credentials.Params) (credentials.Value, error) {
	return credentials.Value{Secret: f.Secret}, nil
}

// refresh shows a refresh token and keeps the one that takes its place before the
// access token is used. What could not be kept is kept first at the next try.
func (s *Source) refresh(ctx context.Context, form url.Values) (outcome, error) {
	fail := func(err error) (outcome, error) { return outcome{}, fmt.Errorf("%s: %w", s, err) }
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
	given, err := s.o.Given.Fetch(ctx, nil)
	if err != nil {
		return fail(err)
	}
	unlock, err := s.o.Keep.lock(ctx)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	keep := func() error {
		if s.owed == nil {
			return nil
		}
		if err := s.o.Keep.put(s.owed.given, s.owed.next); err != nil {
			return fmt.Errorf("the new refresh token cannot be kept, and without that nothing is done with what was given: %w", err)
		}
		s.owed = nil
		return nil
	}
	if s.owed != nil && !s.owed.given.Equal(given.Secret) {
		s.owed = nil // the operator gave another
	}
	if err := keep(); err != nil {
		return fail(err)
	}
	token, err := s.o.Keep.token(given.Secret)
	if err != nil {
		return fail(err)
	}
	out, err := s.ask(ctx, form, fixed{token})
	if err != nil || out.next == nil || out.next.Equal(token) {
		return out, err
	}
	s.owed = &owed{given.Secret, *out.next}
	if err := keep(); err != nil {
		return fail(err)
	}
	return out, nil
}

// owed is a refresh token that could not be kept yet, and the one that it descends
// from.
type owed struct{ given, next credentials.Secret }
